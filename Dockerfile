# The compiler stays in the first stage; the image holds the binary, which is linked with nothing, and the root certificates.
FROM rust:1.95.0-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates cmake musl-tools perl pkg-config \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /source
COPY . .
# The controller lies where the system puts it (docs/design/0004-where-the-program-lies.md).
RUN target="$(uname -m)-unknown-linux-musl" \
    && cargo build --release --locked --target "$target" --bin plimsoll \
    && deploy/image/root.sh "target/$target/release/plimsoll" /image

FROM scratch
COPY --from=build /image /
# libgit2's own OpenSSL looks nowhere by itself.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/plimsoll"]
CMD ["--help"]
