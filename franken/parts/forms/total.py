"""A sum of two forms, such as signs plus a low-rank residual."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from franken.parts.forms.section import Form, Section, form, form_of


@form
@dataclass
class SumForm:
    """``first + second``."""

    first: Form
    second: Form
    kind: ClassVar[str] = "sum"

    @property
    def shape(self) -> tuple[int, ...]:
        """That of both."""
        return self.first.shape

    def decode(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Both added."""
        return self.first.decode(start, stop) + self.second.decode(start, stop)

    def describe(self) -> dict[str, Any]:
        """Both descriptions."""
        parts = [self.first.describe(), self.second.describe()]
        return {"form": self.kind, "shape": list(self.shape), "parts": parts}

    def sections(self) -> dict[str, Tensor]:
        """Those of both, numbered."""
        return {
            f"{index}.{name}": tensor
            for index, part in enumerate((self.first, self.second))
            for name, tensor in part.sections().items()
        }

    @staticmethod
    def layout(description: dict[str, Any]) -> list[Section]:
        """One after the other."""
        return [
            section._replace(name=f"{index}.{section.name}")
            for index, part in enumerate(description["parts"])
            for section in form_of(part).layout(part)
        ]

    @classmethod
    def restore(cls, description: dict[str, Any], sections: dict[str, Tensor]) -> "SumForm":
        """From both."""
        found = [
            form_of(part).restore(
                part,
                {
                    name.partition(".")[2]: tensor
                    for name, tensor in sections.items()
                    if name.partition(".")[0] == str(index)
                },
            )
            for index, part in enumerate(description["parts"])
        ]
        return cls(found[0], found[1])
