"""People and what they may do: accounts, roles, sign-in, sessions, tokens; every decision of it in the audit trail."""
