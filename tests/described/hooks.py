"""What schemathesis has to be told about docmill."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
