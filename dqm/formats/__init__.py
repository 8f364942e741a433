"""What a file is (by its content) and how to read it in blocks that all plots share."""

from dqm.formats.identify import FileKind, identify
from dqm.formats.packets import Packets, cut
from dqm.formats.reader import Cursor, Reader, UnreadableFile, open_file

__all__ = ["Cursor", "FileKind", "Packets", "Reader", "UnreadableFile", "cut", "identify", "open_file"]
