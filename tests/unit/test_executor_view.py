"""Facts into the executor's view: what the next event meets, and which destinations are told."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2 as facts
from services.executor.projections import DEPARTED_MAX, DISCONNECTED, FUNCTION_DELETED, Departed, Route, View


class Told:
    """A view of one workspace that is given facts, and the destinations that it told of."""

    def __init__(self, *given: Message) -> None:
        self.of: list[str] = []
        self.view = View(lambda _, destination, change: self.of.append(destination))
        self.moved: list[str] = []
        self.when(*given)

    def when(self, *new: Message) -> Told:
        self.of.clear()
        for fact in new:
            data = json_format.MessageToJson(fact).encode()
            self.view.apply("acme", self.view.position("acme") + 1, type(fact).__name__, data)
        return self

    def routed(self, source: str = "web") -> list[str]:
        return [route.destination for route in self.view.routes("acme", source)]


def connected(destination: str, source: str = "web", function: str = "f") -> facts.DestinationConnected:
    return facts.DestinationConnected(destination=destination, source=source, function=function, version=1)


GIVEN = (
    facts.SourceCreated(source="web"),
    facts.SourceCreated(source="app"),
    connected("one"),
    connected("two"),
    connected("three", "app", "g"),
)


def test_a_disconnected_destination_gets_no_more_events() -> None:
    told = Told(*GIVEN).when(facts.DestinationDisconnected(destination="one"))
    assert told.routed() == ["two"]
    assert told.view.route("acme", "one") is None
    assert told.of == ["one"]
    departed = told.view.departed("acme", "one")
    assert departed is not None
    assert departed.function == "f"


def test_what_waits_ends_for_the_reason_that_people_gave() -> None:
    """Fault A25."""
    told = Told(*GIVEN)
    assert told.view.end_reason("acme", "one") == ""
    told.when(facts.DestinationDisconnected(destination="one"))
    assert told.view.end_reason("acme", "one") == DISCONNECTED
    told.when(facts.DestinationDisconnected(destination="three"), facts.FunctionDeleted(function="g"))
    assert told.view.end_reason("acme", "three") == FUNCTION_DELETED
    assert told.view.end_reason("acme", "never-heard-of") == DISCONNECTED


def test_whoever_connects_and_disconnects_for_ever_does_not_fill_the_memory() -> None:
    """The latest ones are remembered; what waits for others is cancelled all the same."""
    told = Told(facts.SourceCreated(source="web"))
    for n in range(DEPARTED_MAX + 10):
        function, source = f"f{n}", f"s{n}"
        told.when(
            connected(f"d{n}", source, function),
            facts.DestinationDisconnected(destination=f"d{n}"),
            facts.FunctionDeleted(function=function),
        )
    view = told.view._workspaces["acme"]
    assert len(view.departed) == view.departed.functions_deleted == DEPARTED_MAX
    assert not view.by_source
    assert told.view.departed("acme", "d9") is None
    assert told.view.end_reason("acme", "d9") == DISCONNECTED
    assert told.view.departed("acme", "d10") is not None
    assert told.view.end_reason("acme", "d10") == FUNCTION_DELETED


def test_a_deleted_function_without_destinations_is_not_remembered() -> None:
    told = Told(*GIVEN).when(*(facts.FunctionDeleted(function=f"f{n}") for n in range(10)))
    assert not told.view._workspaces["acme"].departed.functions_deleted


def test_a_function_is_remembered_as_deleted_while_one_of_its_destinations_is() -> None:
    departed = Departed()
    routes = [Route("acme", f"d{n}", "D", "web", "f", 1) for n in range(DEPARTED_MAX)]
    for route in routes:
        departed.add(route)
    departed.delete_function("f")
    for n in range(DEPARTED_MAX - 1):
        departed.add(Route("acme", f"later{n}", "D", "web", "g", 1))
    assert departed.end_reason(routes[-1].destination) == FUNCTION_DELETED
    departed.add(Route("acme", "last", "D", "web", "g", 1))
    assert departed.functions_deleted == 0


def test_events_of_a_deleted_source_are_of_no_source() -> None:
    told = Told(*GIVEN).when(facts.DestinationDisconnected(destination="three"), facts.SourceDeleted(source="app"))
    assert not told.view.knows_source("acme", "app")
    assert told.view.knows_source("acme", "web")


def test_a_range_that_is_disallowed_is_closed_and_others_stay_open() -> None:
    told = Told(facts.EgressRangeAllowed(range="10.0.0.0/8"), facts.EgressRangeAllowed(range="127.0.0.0/8"))
    told.when(facts.EgressRangeDisallowed(range="10.0.0.0/8"))
    assert [str(one) for one in told.view.egress_ranges("acme")] == ["127.0.0.0/8"]


def test_a_policy_reaches_its_destination() -> None:
    assert Told(*GIVEN).when(facts.DeliveryPolicyUpdated(destination="two")).of == ["two"]


def test_a_filter_reaches_all_destinations_whose_events_it_sees() -> None:
    told = Told(*GIVEN)
    assert told.when(facts.FilterCreated(filter="x")).of == ["one", "two", "three"]
    assert told.when(facts.FilterUpdated(parent="sources/web", filter="x")).of == ["one", "two"]
    assert told.when(facts.FilterDeleted(parent="destinations/two", filter="x")).of == ["two"]
    assert told.when(facts.FiltersReordered(parent="sources/app", filters=["x"])).of == ["three"]
    assert told.when(facts.FilterCreated(parent="sources/none", filter="x")).of == []


def test_names_and_labels_change_nothing_that_runs() -> None:
    told = Told(*GIVEN).when(
        facts.FunctionUpdated(function="f", display_name="F"), facts.SourceUpdated(source="web", display_name="W")
    )
    assert told.of == []
    assert told.view.position("acme") == len(GIVEN) + 2


def test_every_position_is_told_whatever_its_fact_says() -> None:
    told = Told()
    told.view.on_position = told.moved.append
    told.when(*GIVEN)
    assert told.moved == ["acme"] * len(GIVEN)
