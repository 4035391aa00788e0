#include "server/on_store.h"

namespace server {

StoreFailure StoreFailure::of(const std::exception& failure) {
  const base::Error error = base::as_error(failure, "store");
  const bool conflict = dynamic_cast<const store::Conflict*>(&failure) != nullptr;
  // Where the store is, is not for clients to know; who runs the server has said it.
  const bool names_place = error.kind() == base::ErrorKind::Resource && !conflict;
  return {.kind = error.kind(),
          .subject = names_place ? "the store of conversations" : error.subject(),
          .why = error.why(),
          .remedy = error.remedy(),
          .conflict = conflict};
}

void StoreFailure::raise() const {
  if (conflict) throw store::Conflict(kind, subject, why, remedy);
  throw base::Error(kind, subject, why, remedy);
}

}  // namespace server
