#!/usr/bin/env bash
# certs.sh DIR: a CA for tests, a server certificate (127.0.0.1, ::1, localhost) and a client certificate.
#   ca.pem                      what clients trust
#   server.pem server.key       PEM; server.bundle.pem is key and chain in one file (Kafka's PEM keystore)
#   server.p12                  PKCS#12, password changeit (Cassandra's keystore)
#   client.pem client.key client.p12    for mutual TLS
#   truststore.p12              the CA as a Java truststore, where keytool is (Cassandra's mutual TLS needs it)
. "$(dirname "$0")/lib.sh"
out=${1:?usage: certs.sh DIR}
locked need openssl openssl
umask 077; mkdir -p "$out"; cd "$out"
ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
ec ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj '/CN=local-test-ca' -out ca.pem \
  -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
leaf() { # NAME CN EXTENDED_USAGE ALTERNATIVE_NAMES
  ec "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
  printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$3" "$4" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 3650 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
  cat "$1.key" "$1.pem" ca.pem > "$1.bundle.pem"
  openssl pkcs12 -export -inkey "$1.key" -in "$1.pem" -certfile ca.pem -name "$1" -passout pass:changeit -out "$1.p12"
  rm -f "$1.csr" "$1.ext"
}
leaf server localhost 'serverAuth,clientAuth' 'IP:127.0.0.1,IP:::1,DNS:localhost'
leaf client app clientAuth 'DNS:app'
if command -v keytool >/dev/null; then
  rm -f truststore.p12
  keytool -importcert -noprompt -alias ca -file ca.pem -keystore truststore.p12 -storetype PKCS12 -storepass changeit 2>/dev/null
fi
