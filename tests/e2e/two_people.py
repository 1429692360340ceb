"""The story of docs/two-people.md, command by command: `python -m tests.e2e.two_people` writes the page from a run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running
from tests.e2e.transcript import Step, Transcript

PAGE = Path(__file__).resolve().parents[2] / "docs/two-people.md"
CODE = """\
async function onTrack(event, settings) {
  console.log('seen', event.event)
  return event.event
}
"""

INTRODUCTION = """\
# Two people, two roles

The owner of a workspace lets one person write a function, and another one look after a source. Neither can put new
code into production alone. This page is the record of a run: `python -m tests.e2e.two_people` writes it anew, and a
test sees that every command still does what is said here. Each of the three has a terminal, with a token of their own
in `ONWARD_TOKEN`; the owner's is in the data folder."""

THINGS = """\
## What there is

Two functions and two sources. The function `crm` gets the events of both sources."""

PEOPLE = """\
## Two people

Ada may edit one function, Grace looks after one source. A role holds for all functions or sources, or for those that
stand after the colon."""

ADA = """\
## Ada

She sees that other things exist, and the code of `crm` alone."""

SAVING = """\
Saving makes a version, and nothing that runs changes. Deploying it touches two sources, so it takes Source Admin of
both: refused as a whole, with their names."""

GRACE = """\
## Grace

She sees what is connected to her source, and no code."""

BOTH = """\
## It takes both

The owner makes Ada a Source Admin of `web` as well. She has the role with her next call: the destination on `web` gets
the version, the one on `shop` still does not."""

END = """\
## The end of a token

A revoked token is refused from its next call on."""

TRAIL = """\
## Who did what

The trail has every change and every refusal; the same refusal again within a minute is told by its number a little
later. On a wider screen it tells tokens and details, too."""


class Story:
    """Runs it on a stack with nothing in it."""

    def __init__(self, onward: Onward, folder: Path) -> None:
        self.transcript = Transcript(onward.data, folder)
        self._tokens = {"owner": ""}
        self._code = folder / "crm.js"

    def run(self) -> None:
        self._prepare()
        self._add_people()
        self._ada_alone()
        self._grace_alone()
        self._both()
        self._end()

    def _prepare(self) -> None:
        self.transcript.tell(INTRODUCTION)
        self.transcript.tell(THINGS)
        self._code.write_text(CODE)
        self._do(
            "owner",
            "workspaces create acme",
            "sources create web",
            "sources create shop",
            "functions create crm",
            "functions create billing",
            "functions save crm crm.js",
            "destinations connect crm web --enable",
            "destinations connect crm shop --enable",
        )

    def _add_people(self) -> None:
        self.transcript.tell(PEOPLE)
        self._do("owner", "members add ada --email ada@example.com --role functions-admin:crm")
        self._do("owner", "members add grace --email grace@example.com --role source-admin:web")
        for who in ("ada", "grace"):
            made = self._do("owner", f"tokens create laptop --member {who} --expires 30d")
            (self._tokens[who],) = re.findall(r"onw_\w+", made.shown)
        self._do("owner", "members list", "roles list")

    def _ada_alone(self) -> None:
        self.transcript.tell(ADA)
        self._do("ada", "whoami", "functions list", "functions show billing")
        self.transcript.tell(SAVING)
        self._code.write_text(CODE.replace("'seen'", "'a sign-up'"))
        self._do("ada", "functions save crm crm.js", "functions diff crm", "functions deploy crm")

    def _grace_alone(self) -> None:
        self.transcript.tell(GRACE)
        self._do("grace", "whoami", "destinations list", "functions show crm", "functions deploy crm --to crm-web")

    def _both(self) -> None:
        self.transcript.tell(BOTH)
        self._do("owner", "roles grant ada source-admin:web")
        self._do("ada", "functions deploy crm", "functions deploy crm --to crm-web", "functions versions crm")

    def _end(self) -> None:
        self.transcript.tell(END)
        self._do("owner", f"tokens revoke {self._tokens['ada'].split('_')[1]} --yes")
        self._do("ada", "functions list")
        self.transcript.tell(TRAIL)
        self._do("owner", "audit list --limit 12")

    def _do(self, who: str, *commands: str) -> Step:
        """Run commands as somebody; gives the last one."""
        for command in commands:
            last = self.transcript.run(who, self._tokens[who], f"onward {command}", *shlex.split(command))
        return last


def main() -> None:
    with short_lived_folder() as folder, running(folder / "data") as onward:
        story = Story(onward, folder)
        story.run()
        text = story.transcript.markdown().replace(f"{folder}/data", "onward-data")
    PAGE.write_text(text)
    sys.stdout.write(f"{PAGE}: {len(story.transcript.steps)} commands\n")


if __name__ == "__main__":
    main()
