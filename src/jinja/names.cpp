#include "jinja/names.h"

#include <map>
#include <set>

namespace jinja {
namespace {

// The names that one block (a frame, to jinja2) refers to.
struct Frame {
  const Frame* outer = nullptr;
  std::map<std::string, bool> unset;  // of each name, whether it has no value at the block's start
  std::set<std::string> stored;
  mutable std::set<std::string> asked;  // of those unset, by frames within or before it is stored

  // The frame that refers to the name: this one or one around it.
  const Frame* owner(const std::string& name) const {
    for (const Frame* frame = this; frame != nullptr; frame = frame->outer) {
      if (frame->unset.contains(name)) return frame;
    }
    return nullptr;
  }
  // Whether a frame around this one refers to it; notes that it was asked.
  bool outside(const std::string& name) const {
    const Frame* found = outer == nullptr ? nullptr : outer->owner(name);
    if (found != nullptr && found->unset.at(name)) found->asked.insert(name);
    return found != nullptr;
  }
  void load(const std::string& name) {
    if (!unset.contains(name) && !outside(name)) unset[name] = false;
  }
  void store(const std::string& name) {
    stored.insert(name);
    const bool found = outside(name);
    unset.try_emplace(name, !found);
  }
  void parameter(const std::string& name) {
    stored.insert(name);
    unset[name] = false;
  }
  void parameter(const Target& target) {
    if (target.is_tuple) {
      for (const Target& part : target.parts) parameter(part);
    } else {
      parameter(target.name);
    }
  }
  void store(const Target& target) {
    if (target.is_tuple) {
      for (const Target& part : target.parts) store(part);
    } else if (target.attribute.empty()) {
      store(target.name);
    } else {
      load(target.name);
    }
  }
};

// --- what expressions read ----------------------------------------------------------------------------------------

void read(Frame& frame, const ExpressionPtr& e);

void read(Frame& frame, const Expressions& all) {
  for (const auto& e : all) read(frame, e);
}

void read(Frame& frame, const CallArguments& a) {
  read(frame, a.positional);
  for (const auto& named : a.named) read(frame, named.second);
  read(frame, a.spread_positional);
  read(frame, a.spread_named);
}

struct Read {
  Frame& frame;

  template <class... Parts>
  void all(const Parts&... parts) const {
    (read(frame, parts), ...);
  }

  void operator()(const Literal&) const {}
  void operator()(const Name& n) const { frame.load(n.name); }
  void operator()(const ListLiteral& n) const { all(n.items); }
  void operator()(const TupleLiteral& n) const { all(n.items); }
  void operator()(const DictLiteral& n) const {
    for (const auto& [key, value] : n.items) all(key, value);
  }
  void operator()(const Negate& n) const { all(n.operand); }
  void operator()(const Plus& n) const { all(n.operand); }
  void operator()(const Not& n) const { all(n.operand); }
  void operator()(const And& n) const { all(n.left, n.right); }
  void operator()(const Or& n) const { all(n.left, n.right); }
  void operator()(const Binary& n) const { all(n.left, n.right); }
  void operator()(const Comparison& n) const {
    all(n.first);
    for (const auto& [op, e] : n.rest) all(e);
  }
  void operator()(const Concat& n) const { all(n.parts); }
  void operator()(const Conditional& n) const { all(n.condition, n.then, n.otherwise); }
  void operator()(const Attribute& n) const { all(n.object); }
  void operator()(const Item& n) const { all(n.object, n.index); }
  void operator()(const SliceItem& n) const { all(n.object, n.start, n.stop, n.step); }
  void operator()(const Call& n) const { all(n.callee, n.arguments); }
  void operator()(const Filter& n) const { all(n.input, n.arguments); }
  void operator()(const Test& n) const { all(n.input, n.arguments); }
};

void read(Frame& frame, const ExpressionPtr& e) {
  if (e != nullptr) std::visit(Read{frame}, e->node);
}

// --- what a frame's own statements store and read, and not those of the frames within it
// -------------------------------

void look_at(Frame& frame, const Block& block);

// A name that not every branch stores has a value without them, too.
void look_at(Frame& frame, std::initializer_list<Frame> branches) {
  std::map<std::string, std::size_t> stores;
  for (const Frame& branch : branches) {
    for (const std::string& name : branch.stored) {
      if (!frame.stored.contains(name)) ++stores[name];
    }
  }
  for (const Frame& branch : branches) {
    for (const auto& [name, unset] : branch.unset) frame.unset[name] = unset;
    frame.stored.insert(branch.stored.begin(), branch.stored.end());
    frame.asked.insert(branch.asked.begin(), branch.asked.end());
  }
  for (const auto& [name, count] : stores) {
    if (count < branches.size()) frame.unset[name] = false;
    // A branch may ask for it, too, before it stores it.
    for (const Frame& branch : branches) {
      if (frame.unset[name] && branch.unset.contains(name) && !branch.unset.at(name)) frame.asked.insert(name);
    }
  }
}

Frame branch(const Frame& frame, const Block& block) {
  Frame copy = frame;
  look_at(copy, block);
  return copy;
}

struct LookAt {
  Frame& frame;

  void operator()(const Data&) const {}
  void operator()(const Print& n) const { read(frame, n.value); }
  void operator()(const If& n) const {
    read(frame, n.branches[0].first);
    // jinja2 takes all the elifs for one branch, whose parts are each an if of their own.
    Frame elifs = frame;
    for (std::size_t i = 1; i < n.branches.size(); ++i) {
      read(elifs, n.branches[i].first);
      look_at(elifs, {branch(elifs, n.branches[i].second), elifs, elifs});
    }
    look_at(frame, {branch(frame, n.branches[0].second), elifs, n.otherwise ? branch(frame, *n.otherwise) : frame});
  }
  void operator()(const For& n) const { read(frame, n.iterable); }
  void operator()(const Set& n) const {
    read(frame, n.value);
    frame.store(n.target);
  }
  void operator()(const SetBlock& n) const { frame.store(n.target); }
  void operator()(const std::shared_ptr<MacroDefinition>& n) const { frame.store(n->name); }
  void operator()(const CallBlock& n) const { read(frame, n.call); }
  void operator()(const FilterBlock& n) const { read(frame, n.filter); }
  void operator()(const With& n) const {
    for (const auto& [target, value] : n.values) read(frame, value);
  }
  void operator()(const Autoescape&) const {}
  void operator()(const Scoped&) const {}
  void operator()(const NamedBlock&) const {}
  void operator()(const Include& n) const { read(frame, n.name); }
  void operator()(const Break&) const {}
  void operator()(const Continue&) const {}
  void operator()(const Unset&) const {}
};

void look_at(Frame& frame, const Block& block) {
  for (const Statement& statement : block) std::visit(LookAt{frame}, statement.node);
}

// --- the frames within
// -------------------------------------------------------------------------------------------------

void go_within(const Frame& frame, Block& block);

// `frame` knows its parameters already.
void finish(Frame frame, Block& block) {
  look_at(frame, block);
  go_within(frame, block);
  Unset unset;
  for (const std::string& name : frame.asked) {
    if (frame.unset.at(name)) unset.names.push_back(name);
  }
  if (!unset.names.empty()) block.insert(block.begin(), {std::move(unset), block.front().position});
}

struct GoWithin {
  const Frame& frame;

  Frame inner() const {
    Frame out;
    out.outer = &frame;
    return out;
  }
  Frame of(const MacroDefinition& macro) const {
    Frame out = inner();
    for (const Parameter& parameter : macro.parameters) out.parameter(parameter.name);
    for (const Parameter& parameter : macro.parameters) read(out, parameter.fallback);
    for (const char* name : {"varargs", "kwargs", "caller"}) out.parameter(name);
    return out;
  }

  void operator()(If& n) const {
    for (auto& [condition, body] : n.branches) go_within(frame, body);
    if (n.otherwise) go_within(frame, *n.otherwise);
  }
  void operator()(For& n) const {
    Frame body = inner();
    body.parameter(n.target);
    body.parameter("loop");
    Frame condition = body;
    read(condition, n.condition);
    finish(body, n.body);
    finish(inner(), n.otherwise);
  }
  void operator()(SetBlock& n) const {
    Frame filter = inner();
    read(filter, n.filter);
    finish(inner(), n.body);
  }
  void operator()(std::shared_ptr<MacroDefinition>& n) const { finish(of(*n), n->body); }
  void operator()(CallBlock& n) const { finish(of(n.caller), n.caller.body); }
  void operator()(FilterBlock& n) const { finish(inner(), n.body); }
  void operator()(With& n) const {
    Frame out = inner();
    for (const auto& [target, value] : n.values) out.parameter(target);
    finish(out, n.body);
  }
  void operator()(Autoescape& n) const {
    Frame out = inner();
    read(out, n.enabled);
    finish(out, n.body);
  }
  void operator()(Scoped& n) const { finish(inner(), n.body); }
  void operator()(NamedBlock& n) const { finish(Frame(), n.body); }  // like a template of its own
  template <class Other>
  void operator()(Other&) const {}
};

void go_within(const Frame& frame, Block& block) {
  for (Statement& statement : block) std::visit(GoWithin{frame}, statement.node);
}

}  // namespace

void unset_stored_names(Block& program) { finish(Frame(), program); }

}  // namespace jinja
