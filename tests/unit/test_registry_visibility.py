"""Which part of a destination is for whom."""

from __future__ import annotations

import pytest

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.visibility import told_destination

WEB, CRM = Subset.of(["web"]), Subset.of(["crm"])


def destination() -> pb.Destination:
    return pb.Destination(
        name="workspaces/acme/destinations/d1",
        source="workspaces/acme/sources/web",
        function="workspaces/acme/functions/crm",
        settings=[pb.SettingState(name="region", value=pb.SettingValue(string_value="eu"))],
    )


@pytest.mark.parametrize(("sources", "functions"), [(WEB, CRM), (EVERYTHING, EVERYTHING), (WEB, EVERYTHING)])
def test_values_of_settings_are_told_to_those_who_may_set_them(sources: Subset, functions: Subset) -> None:
    assert told_destination(destination(), sources, functions) == destination()


@pytest.mark.parametrize(
    ("sources", "functions"),
    [(WEB, NOTHING), (NOTHING, CRM), (EVERYTHING, Subset.of(["other"])), (Subset.of(["app"]), EVERYTHING)],
)
def test_half_of_what_setting_them_needs_shows_only_their_names(sources: Subset, functions: Subset) -> None:
    (setting,) = told_destination(destination(), sources, functions).settings
    assert (setting.name, setting.HasField("value")) == ("region", False)
