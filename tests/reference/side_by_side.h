// Sequences that share their batches, beside the same alone.
#pragma once

#include <functional>
#include <span>

#include "compute/compute.h"
#include "reference/random_model.h"

namespace reference {

// Four sequences that advance side by side in uneven steps, with the logits of all, the last or none of a step's tokens
// asked for. `compare` gets each row of logits as it is when the sequence is alone and as it came.
void advance_side_by_side(const RandomModel& shape, compute::DeviceKind on,
                          const std::function<void(std::span<const float> alone, std::span<const float> got)>& compare);

}  // namespace reference
