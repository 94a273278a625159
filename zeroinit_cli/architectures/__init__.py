"""SOURCE -> a built module -> its structure -> a torch-free Plan. The only room with torch in it.

Import it inside the function that needs it: torch takes seconds to load.
"""

from zeroinit_cli.architectures.given import init_given, plan_given
from zeroinit_cli.architectures.planning import plan_source
from zeroinit_cli.architectures.registry import model_names, versions

__all__ = ["init_given", "model_names", "plan_given", "plan_source", "versions"]
