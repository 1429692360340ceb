"""onward certificates"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cli.options import DEFAULTS, Options
from cli.output import print_json_line, say
from cli.stack import SERVICES
from kit.embedded.certificates import authority_file, make_certificates

app = App(name="certificates", help="Make the certificates that services prove themselves with.")


@app.command
def create(
    folder: Path, /, *, host: Annotated[list[str] | None, Parameter(negative="")] = None, options: Options = DEFAULTS
) -> None:
    """Make an authority and a certificate for each service, or renew what has less than 30 days left.

    Nothing else is changed, so it may run before every start.

    Example: onward certificates create ./certs --host onward.example.com \\
        --host localhost

    Parameters
    ----------
    folder
        Gets a folder for each service with its certificate.pem, key.pem and ca.pem, and one for the authority.
    host
        A name or address by which all services are called; each is called by its own name (registry, ...) too.
    """
    renewed = make_certificates(folder, {service: (service, *(host or [])) for service in SERVICES})
    ca = authority_file(folder)
    if options.json:
        print_json_line({"ca": str(ca), "renewed": renewed})
    elif renewed:
        say(f"Made certificates for {', '.join(renewed)} in {folder}; clients need {ca}.")
    else:
        say(f"The certificates in {folder} are good.")
