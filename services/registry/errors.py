"""The registry's errors: each tells its reader what to do, and programs what went wrong."""

# Names are gRPC's own terms, as in kit/errors.py.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kit import errors


class Missing(errors.NotFound):
    """A resource of the workspace that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.", metadata={"resource": name})


class IdTaken(errors.AlreadyExists):
    """Somebody has that id, or had it."""

    def __init__(self, name: str, *, deleted: bool = False) -> None:
        gone = "removed" if "/members/" in name else "deleted"
        why = f"was {gone}, and the trail goes on naming it" if deleted else "exists already"
        super().__init__(f"{name} {why}; choose another id.", metadata={"resource": name})


class InUse(errors.WrongState):
    """Others depend on it."""

    # More would not help the reader.
    SHOWN_MAX = 20

    def __init__(self, name: str, users: Sequence[str], advice: str) -> None:
        shown = ", ".join(users[: self.SHOWN_MAX])
        more = len(users) - self.SHOWN_MAX
        told = f"{shown} and {more} more" if more > 0 else shown
        super().__init__(f"{name} is used by {told}. {advice}", metadata={"resource": name, "used_by": ",".join(users)})


class SourcesRefused(errors.PermissionDenied):
    """The caller may do it to the function, but not to each source that it touches."""

    # More would not help the reader.
    SHOWN_MAX = 10

    def __init__(self, sources: Sequence[str]) -> None:
        shown = ", ".join(sources[: self.SHOWN_MAX])
        more = len(sources) - self.SHOWN_MAX
        told = f"{shown} and {more} more" if more > 0 else shown
        super().__init__(
            f"This also needs Source Admin of {told}. Nothing was changed; ask an owner of the workspace for the role.",
            metadata={"permission": "SOURCE_ADMINISTER", "sources": ",".join(sources[: self.SHOWN_MAX])},
        )


class EmailTaken(errors.AlreadyExists):
    """By its address an OIDC token finds a member, so it has to be one. The address itself is not repeated."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} has that e-mail address already.", metadata={"resource": holder})


class DisplayNameTaken(errors.AlreadyExists):
    """Display names of destinations are unique within their source, since `integrations` may name them."""

    def __init__(self, display_name: str, holder: str) -> None:
        super().__init__(
            f"{holder} is called {display_name!r} already; choose another display name.",
            metadata={"resource": holder, "display_name": display_name},
        )


class StaleEtag(errors.Conflict):
    """The resource changed since the caller read it."""

    def __init__(self, name: str, current: str) -> None:
        super().__init__(
            f"{name} was changed since it was read; read it again and repeat the change.",
            metadata={"resource": name, "etag": current},
        )


class WorkspaceLimitReached(errors.LimitReached):
    """The workspace holds as many as it may."""

    def __init__(self, what: str, limit: int, advice: str) -> None:
        super().__init__(
            f"The workspace may hold {limit} {what}. {advice}",
            metadata={"limit": f"{what}_max", "max": str(limit)},
        )


class RetriesLimitReached(errors.LimitReached):
    """A delivery policy wants to retry more often, or for longer, than the operator lets the workspace."""

    def __init__(self, limit: str, most: int, told: str) -> None:
        super().__init__(
            f"A delivery policy of this workspace may {told}. Retry less, or ask the operator for more.",
            metadata={"limit": limit, "max": str(most)},
        )


class InvalidField(errors.InvalidArgument):
    """One field breaks a rule that the protos can't say."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}", violations=[(field, description)])


class InvalidFilter(errors.InvalidArgument):
    """A filter that could not be applied. `place` is the line and column of a mistake in its condition."""

    def __init__(self, violations: Sequence[tuple[str, str]], place: tuple[int, int] | None = None) -> None:
        told = "; ".join(f"{field}: {problem}" for field, problem in violations)
        metadata = {"line": str(place[0]), "column": str(place[1])} if place else {}
        super().__init__(f"The filter can't be applied. {told}", violations=violations, metadata=metadata)


class FilterTitleTaken(errors.AlreadyExists):
    """Titles are unique among a parent's filters, since counts and previews name filters by them."""

    def __init__(self, title: str, holder: str) -> None:
        super().__init__(
            f"{holder} is titled {title!r} already; choose another title.",
            metadata={"resource": holder, "title": title},
        )


class InvalidSetting(errors.InvalidArgument):
    """A setting that the version does not define, or a value of another type."""

    reason = "INVALID_SETTING"

    def __init__(self, name: str, problem: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"Setting {name!r} {problem}. Settings of this version: {names}.",
            metadata={"setting": name, "known": names},
        )


class SettingsMissing(errors.WrongState):
    """Required settings have no value."""

    reason = "SETTINGS_MISSING"

    # Only what the running version defines can be set, so a new required setting needs a way round.
    _BEFORE_DEPLOYMENT = (
        "Set those that the running version defines first. For others, disable the destination, deploy, set them and "
        "enable it; or deploy a version in which they are optional, set them, and require them in the next one."
    )

    def __init__(self, missing: Mapping[str, Iterable[str]], *, deploying: bool = False) -> None:
        """`missing` has the names of settings by id of the destination that lacks them."""
        told = [f"{destination}: {', '.join(sorted(names))}" for destination, names in missing.items()]
        settings = sorted({name for names in missing.values() for name in names})
        advice = self._BEFORE_DEPLOYMENT if deploying else "Set them first."
        super().__init__(
            f"Required settings have no value ({'; '.join(told)}). {advice}",
            metadata={"destinations": ",".join(missing), "settings": ",".join(settings)},
        )


class SyntaxInvalid(errors.InvalidArgument):
    """The code does not parse, or throws when it is loaded."""

    reason = "SYNTAX_ERROR"

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(
            f"The code does not run: {message} (line {line}, column {column}). Correct it and save again.",
            metadata={"line": str(line), "column": str(column), "message": message},
        )


class OtherFunction(errors.WrongState):
    """A destination that runs another function can't run this one's version."""

    def __init__(self, destination: str, function: str) -> None:
        super().__init__(
            f"{destination} runs another function; name destinations of {function} only.",
            metadata={"resource": destination},
        )
