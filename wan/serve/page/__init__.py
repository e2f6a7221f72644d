"""The page of the service, in Gradio: five tabs over the desk, in English and Chinese, with no logic of their own."""
