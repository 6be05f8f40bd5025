"""A package only so that its conftest has a name of its own beside the one of tests/."""
