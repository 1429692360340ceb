"""The registry's settings, from ONWARD_* variables."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from kit.auth.issuer import Issuer, require_secure
from kit.errors import InvalidArgument
from kit.key_settings import KeySettings
from kit.nats_auth.nkeys import issuer_of_seed
from kit.settings import LongSecret, variable

Url = Annotated[str, AfterValidator(require_secure)]


def _is_seed(text: SecretStr) -> SecretStr:
    try:
        issuer_of_seed(text.get_secret_value())
    except InvalidArgument as error:
        # pydantic reports a ValueError's text; ours names no secret.
        raise ValueError(str(error)) from None
    return text


class Settings(KeySettings):
    """What the registry needs besides what every service needs."""

    # Creates workspaces, sets limits; sees nothing that is in a workspace.
    operator_token: LongSecret
    # With these the registry answers NATS who may connect with a write key or a token; without them nobody may.
    nats_auth_password: SecretStr | None = None
    # Of the key (an account's nkey) that the NATS server trusts in this; it has the public half.
    nats_callout_seed: Annotated[SecretStr, AfterValidator(_is_seed)] | None = None
    # Whose tokens persons may present instead of ours: compared letter by letter with their `iss`.
    oidc_issuer: Url | None = None
    # Where the issuer's keys are; it is asked where they are without this.
    oidc_jwks_url: Url | None = None
    # Whom the issuer's tokens must be meant for (`aud`). Declared last: its check looks at the other two, and has to
    # find it missing as well.
    oidc_audience: str | None = Field(default=None, validate_default=True)

    @field_validator("operator_token")
    @classmethod
    def _its_own(cls, token: SecretStr, info: ValidationInfo) -> SecretStr:
        """Otherwise every service could do what the operator can, and the operator what services can."""
        if token == info.data.get("service_token"):
            raise ValueError(f"must not be the same as {variable('service_token')}")
        return token

    @field_validator("oidc_audience")
    @classmethod
    def _whole(cls, audience: str | None, info: ValidationInfo) -> str | None:
        """An issuer needs an audience, and the other two need an issuer."""
        # What broke its own rule is not in `data`, and is told already.
        if "oidc_issuer" not in info.data or "oidc_jwks_url" not in info.data:
            return audience
        issuer, jwks_url = info.data["oidc_issuer"], info.data["oidc_jwks_url"]
        if issuer is None and (audience is not None or jwks_url is not None):
            raise ValueError(f"{variable('oidc_issuer')} is not set: OIDC needs it and an audience")
        if issuer is not None:
            if audience is None:
                raise ValueError("is not set: without it, a token that was made for anybody would be accepted")
            Issuer(issuer, audience, jwks_url)
        return audience

    @property
    def oidc(self) -> Issuer | None:
        """The identity provider; None without one."""
        if self.oidc_issuer is None or self.oidc_audience is None:
            return None
        return Issuer(self.oidc_issuer, self.oidc_audience, self.oidc_jwks_url)
