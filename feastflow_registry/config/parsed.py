"""How pydantic reads a value with a parser of ours, and collects what that refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, StrictInt
from pydantic_core import PydanticCustomError, core_schema

from feastflow_registry.config import grammar
from feastflow_registry.model.errors import Failure, Problem


@dataclass(frozen=True, slots=True)
class Parsed:
    """Read a value with a parser, and let pydantic collect what that refuses.

    ``form``: what a file has to give, as a JSON Schema shows it.
    """

    parse: Callable[[Any], object]
    form: Any = str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate, json_schema_input_schema=handler.generate_schema(self.form)
        )

    def _validate(self, value: object) -> object:
        try:
            return self.parse(value)
        except Failure as failure:
            raise refused(failure.problems[0]) from None


def number(least: int, most: int) -> Parsed:
    """A number within bounds."""
    return Parsed(grammar.number(least, most), Annotated[StrictInt, Field(ge=least, le=most)])


def refused(problem: Problem) -> PydanticCustomError:
    """A problem in pydantic's own form."""
    return PydanticCustomError(
        "refused",
        "{cause} {fix}",
        {"cause": problem.cause, "fix": problem.fix, "see": problem.see},
    )
