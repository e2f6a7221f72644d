@echo off
rem Download a checkpoint on Windows: download_model_weights.bat --task ti2v-5B [--dry_run] (see the .py file beside it).
setlocal
set "PYTHON=python"
if exist "%~dp0..\.venv\Scripts\python.exe" set "PYTHON=%~dp0..\.venv\Scripts\python.exe"
if "%~1"=="" (
    "%PYTHON%" "%~dp0download_model_weights.py" --help
    pause
    exit /b 2
)
"%PYTHON%" "%~dp0download_model_weights.py" %*
exit /b %ERRORLEVEL%
