"""Plug-ins in limited processes of their own: the host calls, the child counts and draws, and nothing else gets through.

`limits` what they may use; `wire` the bytes between host and child; `child` the process that runs the plug-in; `host` its
other end; `proxy` the plot classes that stand for those in the child. Limits are against accidents and against what a
plug-in does to its host. A child still runs as the same user, so it is no cage for somebody who means harm.
"""
