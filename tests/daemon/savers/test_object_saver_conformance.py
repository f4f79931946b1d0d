"""S3Saver passes the conformance tests that are shipped for savers of your own."""

from tests.daemon.savers.objects_joined import S3SaverJoins


class TestS3Saver(S3SaverJoins):
    pass
