// Which names jinja2 has no value for before a block stores them. It decides for each block of a template, before that
// runs, where a name of it comes from: of one that the block stores before it reads it, nothing but what is stored, or
// what the blocks around it have of that name; the context's variable is then not seen by what stands within the block
// before.
#pragma once

#include "jinja/ast.h"

namespace jinja {

// Puts an Unset at the start of each block that has such names, if a block within it could ask for them.
void unset_stored_names(Block& program);

}  // namespace jinja
