"""What facts may tell of values that can be erased: their salted hashes."""

import hashlib
from collections.abc import Mapping


def commitments(salt: bytes, values: Mapping[str, str]) -> dict[str, str]:
    """Hex SHA-256 of salt, name and value for each value that is there.

    Without the salt, which is deleted with the values, nobody can find a value by trying.
    """
    return {
        name: hashlib.sha256(salt + name.encode() + value.encode()).hexdigest()
        for name, value in sorted(values.items())
        if value
    }
