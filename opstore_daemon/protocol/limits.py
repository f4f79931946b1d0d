"""The bounds that both programs keep to. Sizes are bytes."""

MAX_JSON = 1024 * 1024  # a JSON body
SMALL_PUSH = 1024 * 1024  # the largest version whose bytes may come in the request that makes it
MAX_HEADERS = 32 * 1024  # the head of a request
MAX_FORM = MAX_JSON + SMALL_PUSH + MAX_HEADERS  # a body with both, and the headers of its parts
MAX_RECORD_HEADER = 4 * 1024  # a version's record that travels in a header
MAX_LIMIT = 1000  # rows of a page
MAX_LABELS = 64  # of a version
MAX_OUTPUT = 128 * 1024  # characters that the store keeps of the output of a command (protocol.records.runs)
MAX_DIRECT_PARTS = 32  # that a client sends past the daemon before it reports them
MAX_TIMEOUT = 3600  # seconds that a client may give a resolution

READ_SIZE = 1024 * 1024  # the most that one read, write or hash handles
HASH_READ_SIZE = 256 * 1024  # one read of bytes that are read only to be hashed: they stay in the processor's cache
