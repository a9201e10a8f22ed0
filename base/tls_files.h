// Where a port's TLS material is. All are PEM files; they are read again when
// they change.
#pragma once

#include <string>

namespace trainyard {

struct TlsFiles {
  std::string cert;       // chain, the port's own certificate first
  std::string key;        // its private key
  std::string client_ca;  // empty: clients need no certificate

  // False: plain text.
  bool on() const { return !cert.empty(); }
};

}  // namespace trainyard
