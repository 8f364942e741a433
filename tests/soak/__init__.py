"""The long run: a service that is killed, filled and confused for an hour, and must have counted each packet once."""
