#include "server/on_store.h"

namespace server {

StoreFailure StoreFailure::of(const std::exception& failure) {
  const base::Error error = base::as_error(failure, "store");
  return {.kind = error.kind(),
          .subject = error.subject(),
          .why = error.why(),
          .remedy = error.remedy(),
          .conflict = dynamic_cast<const store::Conflict*>(&failure) != nullptr};
}

void StoreFailure::raise() const {
  if (conflict) throw store::Conflict(kind, subject, why, remedy);
  throw base::Error(kind, subject, why, remedy);
}

}  // namespace server
