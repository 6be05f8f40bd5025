"""The one error that a user can cause."""


class UserError(Exception):
    """Unusable arguments or input; the message says in one line what, where and what to do."""


def reason(error: Exception) -> str:
    """Why the system or a decoder refused, in its own first line, for a UserError's message."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0].lower()
