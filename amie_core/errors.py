"""The one error that a user can cause."""


class UserError(Exception):
    """Unusable arguments or input; the message says in one line what, where and what to do."""
