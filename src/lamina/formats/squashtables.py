"""The tables of squashfs 4.0, for who reads and who writes them.

Field by field: https://dr-emann.github.io/squashfs/squashfs.html
"""

from __future__ import annotations

from struct import Struct

from lamina.formats.inodes import CHARACTER

METADATA = 8192  # bytes that a block of metadata holds, unpacked
PLAIN = 0x8000  # of a block's 16-bit size: it is not compressed
PLAIN_DATA = 1 << 24  # the same of a data block's 32-bit size
NOTHING = 0xFFFFFFFF  # no fragment, no attributes

HEAD = Struct("<4H2I")  # type, mode, user, group, time, number
FOLDER = Struct("<2I2HI")  # block, links, size, offset, parent
LONG_FOLDER = Struct("<4I2HI")  # links, size, block, parent, indexes, offset, attributes
FILE = Struct("<4I")  # start, fragment, offset, size
LONG_FILE = Struct("<3Q4I")  # start, size, holes, links, fragment, offset, attributes
SYMLINK = Struct("<2I")  # links, size of the target
DEVICE = Struct("<2I")  # links, device
NUMBER = Struct("<I")
INDEX = Struct("<3I")  # offset in the listing, block, size of the name less one
LISTING = Struct("<3I")  # entries less one, block of their inodes, number
ENTRY = Struct("<HhHH")  # offset, number, type, size of the name less one
FRAGMENT = Struct("<Q2I")  # start, size, unused
XATTR_TABLE = Struct("<Q2I")  # start of the attributes, number of lists, unused
XATTR_LIST = Struct("<Q2I")  # place of the list, attributes in it, size

IS_FOLDER, IS_FILE, IS_SYMLINK = 1, 2, 3
SPECIAL = {4: "block device", 5: CHARACTER, 6: "pipe", 7: "socket"}
DEVICES = (4, 5)
LONG = 7  # between the types of short and long inodes
MOST_ENTRIES = 256  # of a part of a folder's listing
DOTS = 3  # bytes that a folder's size has more than its listing, for `.` and `..`

PREFIXES = (b"user.", b"trusted.", b"security.")  # of the names of attributes
ELSEWHERE = 0x100  # of the type of an attribute: its value is a reference to one
