"""What can be wrong with a store, each as one sentence."""


class StoreProblem(RuntimeError):
    """The database, or the states that belong to it, cannot be used now; the message says why and what to do."""


class OldSchema(StoreProblem):
    """The tables are those of another version of Larboard."""
