"""Whatever a client posts is either planned or refused with a sentence: nothing else comes out of the translation."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan.serve.fields import FIELDS
from wan.serve.openai_fields import KNOWN, posted
from wan.serve.planning import RequestPlanner
from wan.serve.settings import DeskSettings
from wan.serve.views import RequestRefused

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["t2v-demo", "64x64", "1e400", "-1", "0x10", "--help", "@file", "true", "sea", "fast", "é\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> RequestPlanner:
    return RequestPlanner(DeskSettings(folder=tmp_path_factory.mktemp("out"), models={"t2v-demo": None}))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=4), prompt=st.one_of(st.just("a"), VALUES))
def test_any_body_is_planned_or_refused(planner: RequestPlanner, body: dict[str, Any], prompt: Any) -> None:
    try:
        planner.plan(posted({**body, "prompt": prompt}, models=["t2v-demo"]).fields, None)
    except RequestRefused as error:
        assert str(error) and json.dumps(str(error))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_any_fields_are_planned_or_refused(planner: RequestPlanner, fields: dict[str, Any]) -> None:
    try:
        planner.plan(fields, None)
    except RequestRefused as error:
        assert str(error)
