"""Strict parsing of a follower's JSON body into a struct."""

from typing import TypeVar

import msgspec

from gatepass.core.errors import InvalidInput
from gatepass.web.strict_json import field_name, parse, refuse_unpaired_surrogates

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def read(content: bytes, kind: type[_Struct]) -> _Struct:
    """Parse *content* as *kind*.

    Raises:
        BrokenJSON: no JSON.
        InvalidInput: a field isn't valid.
    """
    value = parse(content)
    refuse_unpaired_surrogates(value)
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        # "Expected `int`, got `str` - at `$.batches[0].tokens`"
        message, _, place = str(error).partition(" - at `$")
        path = place.rstrip("`").replace("[", ".").replace("]", "").strip(".")
        raise InvalidInput([(field_name((path,)) if path else "body", message + ".")]) from None
