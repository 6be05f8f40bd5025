"""The one error that a user can cause."""


class UserError(Exception):
    """Unusable arguments or input; the message says in one line what, where and what to do."""


def at_least(least: int, **values: int) -> None:
    """UserError for the first of the options that is less."""
    for name, value in values.items():
        if value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: at least {least}")


def reason(error: Exception) -> str:
    """Why the system or a decoder refused, in its own first line, for a UserError's message."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0].lower()
