"""moto's S3 for the tests, on a port that the system chooses and the log tells.

As it is, moto takes an object into a bucket with default retention only with `Content-MD5` or
`x-amz-sdk-checksum-algorithm`. S3 itself also takes a checksum header of any algorithm, which is
what a client sends that is no SDK of Amazon's: here it counts as well.
"""

import moto.server


class Server(moto.server.DomainDispatcherApplication):
    def __call__(self, environ, start_response):
        for name in list(environ):
            _, found, algorithm = name.partition("HTTP_X_AMZ_CHECKSUM_")
            if found:
                environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", algorithm)
        return super().__call__(environ, start_response)


moto.server.DomainDispatcherApplication = Server
moto.server.main(["-H", "127.0.0.1", "-p", "0"])
