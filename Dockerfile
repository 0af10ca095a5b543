# The compiler stays in the first stage; the image holds the binary, what it is linked with, and the root certificates.
FROM rust:1.95.0-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates cmake perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The controller lies where the system puts it (docs/design/0004-where-the-program-lies.md).
ENV PLIMSOLL_PIE=1
RUN cargo build --release --locked --bin plimsoll \
    && deploy/image/root.sh target/release/plimsoll /image

FROM scratch
COPY --from=build /image /
# libgit2's own OpenSSL looks nowhere by itself.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/plimsoll"]
CMD ["--help"]
