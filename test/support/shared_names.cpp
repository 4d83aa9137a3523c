#include "support/shared_names.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "support/create_load.hpp"
#include "support/place_recorder.hpp"

namespace bftmeta::test {

namespace {

using Files = std::map<std::string, FileSeen>;

std::string text(const schema::Name& name) { return {name.bytes.begin(), name.bytes.end()}; }

schema::Name named(const std::string& name) { return {to_bytes(view(name))}; }

std::string describe(const std::optional<FileSeen>& file) {
  if (!file) return "no file";
  return "inode " + std::to_string(file->ino) + " with mtime " + std::to_string(file->mtime_ns);
}

std::string describe(const HistoryEntry& e) {
  return " of client " + std::to_string(e.client) + " at sequence number " + std::to_string(e.seq);
}

std::optional<FileSeen> file_of(const schema::OpResult& result) {
  if (!result.inode) return std::nullopt;
  return FileSeen{result.inode->ino, result.inode->attributes.mtime_ns};
}

// The directory as it must be, and what operations on it must answer. False: `result` is something
// else; the files are void then.
class Model {
 public:
  bool apply(const schema::OperationBody& body, const schema::OpResult& result) {
    return std::visit([&](const auto& operation) { return matches(operation, result); }, body);
  }
  std::optional<FileSeen> find(const std::string& name) const {
    const auto it = files_.find(name);
    return it == files_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  bool matches(const schema::MakeNode& make, const schema::OpResult& result) {
    const std::string name = text(make.name);
    if (files_.contains(name)) return result.code == schema::Code::exists;
    // Inode number and time are the state machine's to choose, the number once.
    const auto file = file_of(result);
    if (result.code != schema::Code::ok || !file || file->ino <= newest_ino_) return false;
    newest_ino_ = file->ino;
    files_[name] = *file;
    return true;
  }
  bool matches(const schema::Remove& remove, const schema::OpResult& result) {
    return take(text(remove.name), result).has_value();
  }
  bool matches(const schema::Rename& rename, const schema::OpResult& result) {
    const auto moved = take(text(rename.from_name), result);
    if (moved && *moved) files_[text(rename.to_name)] = **moved;
    return moved.has_value();
  }
  bool matches(const schema::SetAttributes& set, const schema::OpResult& result) {
    const auto it = files_.find(text(set.target.path.at(0)));
    if (it == files_.end()) return result.code == schema::Code::no_entry;
    it->second.mtime_ns = set.mtime_ns;
    return result.code == schema::Code::ok && file_of(result) == it->second;
  }
  template <class Other>
  bool matches(const Other&, const schema::OpResult&) {
    return false;  // no such operation is made here
  }

  // Takes the file away from its name. nullopt: the answer is wrong; an empty one: there was none.
  std::optional<std::optional<FileSeen>> take(const std::string& name,
                                              const schema::OpResult& result) {
    const auto it = files_.find(name);
    if (it == files_.end()) {
      if (result.code != schema::Code::no_entry) return std::nullopt;
      return std::optional<FileSeen>();
    }
    const FileSeen file = it->second;
    files_.erase(it);
    if (result.code != schema::Code::ok || file_of(result) != file) return std::nullopt;
    return file;
  }

  Files files_;
  std::uint64_t newest_ino_ = 0;
};

using Group = std::vector<const RecordedOperation*>;

// The first operation of the group that the model answers otherwise; nullptr: none.
const RecordedOperation* first_wrong(Model& model, const Group& group) {
  for (const RecordedOperation* op : group)
    if (!model.apply(op->body, op->result)) return op;
  return nullptr;
}

// Runs the writes of one batch. Returns one that no order of them explains, nullptr if all are
// right. A batch has at most one operation of each client, so the orders are few.
const RecordedOperation* run_batch(Model& model, Group group) {
  if (std::ranges::all_of(group, [](const auto* op) { return op->position.has_value(); })) {
    std::ranges::sort(group, {}, [](const auto* op) { return *op->position; });
    return first_wrong(model, group);
  }
  const auto by_client = [](const auto* a, const auto* b) {
    return a->entry.client < b->entry.client;
  };
  std::ranges::sort(group, by_client);
  const Model before = model;
  const RecordedOperation* wrong = nullptr;
  do {
    model = before;
    wrong = first_wrong(model, group);
  } while (wrong != nullptr && std::next_permutation(group.begin(), group.end(), by_client));
  return wrong;
}

void check_read(const Model& model, const RecordedOperation& read,
                std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < read.seen.size(); ++i) {
    const auto expected = model.find(kSharedNames.at(i));
    if (read.seen[i] != expected && problems.size() < kMaxProblems)
      problems.push_back("a read" + describe(read.entry) + " saw " + describe(read.seen[i]) +
                         " under " + kSharedNames[i] + ", where there was " + describe(expected));
  }
}

}  // namespace

std::vector<std::string> check_answers(const std::vector<RecordedOperation>& operations) {
  Group ordered;
  for (const RecordedOperation& op : operations)
    if (op.entry.returned) ordered.push_back(&op);
  std::ranges::sort(ordered, {}, [](const auto* op) { return op->entry.seq; });
  std::vector<std::string> problems;
  Model model;
  for (auto it = ordered.begin(); it != ordered.end();) {
    const auto end = std::find_if(
        it, ordered.end(), [&](const auto* op) { return op->entry.seq != (*it)->entry.seq; });
    Group writes;
    std::copy_if(it, end, std::back_inserter(writes),
                 [](const auto* op) { return op->entry.action == Action::write; });
    if (const RecordedOperation* wrong = run_batch(model, writes); wrong != nullptr) {
      problems.push_back("a write" + describe(wrong->entry) + " was answered " +
                         std::string(schema::code_name(wrong->result.code)) + " and " +
                         describe(file_of(wrong->result)) + ", which no order of its batch gives");
      return problems;  // what follows has no state to be compared with
    }
    for (; it != end; ++it)
      if ((*it)->entry.action != Action::write) check_read(model, **it, problems);
  }
  return problems;
}

struct SharedNamesLoad::Worker {
  Worker(const ProcessCluster& cluster, std::uint32_t number, std::uint64_t seed)
      : id(number), random(seed), recorder(cluster.genesis()) {
    auto connected = connect_recorded(cluster.client_options(id), recorder);
    REQUIRE_MESSAGE(connected.has_value(), connected.error().message);
    client = std::move(*connected);
    const Status ready = client->wait_ready(std::chrono::seconds(20));
    REQUIRE_MESSAGE(ready.has_value(), ready.error().message);
  }

  schema::Operation random_write();

  const std::uint32_t id;
  std::mt19937_64 random;
  PlaceRecorder recorder;
  std::unique_ptr<client::Client> client;
  // Index in the history, and what was done and answered.
  std::vector<std::pair<std::size_t, RecordedOperation>> recorded;
  std::vector<std::string> problems;
  std::int64_t writes = 0;
  std::thread thread;
};

schema::Operation SharedNamesLoad::Worker::random_write() {
  const std::size_t which = random() % kSharedNames.size();
  const std::string& name = kSharedNames[which];
  switch (random() % 4) {
    case 0: return create_file(name);
    case 1: {
      schema::Remove remove;
      remove.name = named(name);
      return {{}, remove};
    }
    case 2: {
      schema::Rename rename;
      rename.from_name = named(name);
      const std::size_t further = 1 + random() % (kSharedNames.size() - 1);
      rename.to_name = named(kSharedNames[(which + further) % kSharedNames.size()]);
      return {{}, rename};
    }
    default: break;
  }
  schema::SetAttributes set;
  set.target.path.push_back(named(name));
  set.mask = schema::set_mask::kMtime;
  set.mtime_ns = ++writes * 1000 + id;  // no other write sets this one
  return {{}, set};
}

SharedNamesLoad::SharedNamesLoad(const ProcessCluster& cluster, std::uint32_t clients,
                                 std::uint64_t seed) {
  for (std::uint32_t c = 0; c < clients; ++c)
    workers_.push_back(std::make_unique<Worker>(cluster, c, seed + c));
  for (const auto& worker : workers_)
    worker->thread = std::thread([this, w = worker.get()] { work(*w); });
}

SharedNamesLoad::~SharedNamesLoad() { stop(); }

void SharedNamesLoad::work(Worker& worker) {
  while (!stopping_) {
    if (worker.random() % 2 == 0)
      write(worker);
    else
      read(worker);
    ++returned_;
  }
}

namespace {

std::uint64_t now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// Of the bundle that the recorder was asked for, by the record of its session.
std::optional<messages::Seq> recorded_seq(client::Client& client, const PlaceRecorder& recorder) {
  const auto read = client.read({{{}, recorder.question()}}, client::ReadMode::linearizable);
  if (!read) return std::nullopt;
  const auto* session = std::get_if<ns::SessionAnswer>(&read->answers.at(0).answer);
  if (session == nullptr || !session->result) return std::nullopt;
  return session->result->seq;
}

}  // namespace

void SharedNamesLoad::write(Worker& worker) {
  const schema::Operation operation = worker.random_write();
  worker.recorder.expect(operation);
  const std::size_t index = history_.invoked(worker.id, Action::write, now_us());
  const auto result = worker.client->execute(operation);
  const std::uint64_t returned_us = now_us();
  if (!result) {
    worker.problems.push_back("write: " + result.error().message);
    return;
  }
  RecordedOperation recorded;
  recorded.body = operation.body;
  recorded.result = *result;
  std::optional<messages::Seq> seq;
  if (const auto place = worker.recorder.place()) {
    seq = place->seq;
    recorded.position = place->position;
  } else {
    seq = recorded_seq(*worker.client, worker.recorder);
  }
  if (!seq) {
    worker.problems.push_back("write: neither reply nor session tells its sequence number");
    return;
  }
  history_.returned(index, *seq, returned_us);
  worker.recorded.emplace_back(index, std::move(recorded));
}

void SharedNamesLoad::read(Worker& worker) {
  std::vector<schema::Query> queries;
  for (const std::string& name : kSharedNames) queries.push_back(stat_file(name));
  const bool linearizable = worker.random() % 3 != 0;
  const std::size_t index = history_.invoked(
      worker.id, linearizable ? Action::linearizable_read : Action::session_read, now_us());
  const auto read =
      worker.client->read(std::move(queries), linearizable ? client::ReadMode::linearizable
                                                           : client::ReadMode::verified);
  if (!read) {
    worker.problems.push_back("read: " + read.error().message);
    return;
  }
  history_.returned(index, read->seq, now_us());
  RecordedOperation recorded;
  for (const ns::QueryResult& answer : read->answers) {
    const auto* inode = std::get_if<ns::InodeAnswer>(&answer.answer);
    if (inode == nullptr)
      recorded.seen.emplace_back();
    else
      recorded.seen.emplace_back(FileSeen{inode->ino, inode->attributes.mtime_ns});
    if (inode == nullptr && answer.code != schema::Code::no_entry)
      worker.problems.push_back("read: " + std::string(schema::code_name(answer.code)));
  }
  worker.recorded.emplace_back(index, std::move(recorded));
}

bool SharedNamesLoad::wait_returned(std::size_t more, std::chrono::milliseconds timeout) {
  const std::size_t goal = returned_ + more;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (returned_ < goal && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return returned_ >= goal;
}

void SharedNamesLoad::stop() {
  stopping_ = true;
  for (const auto& worker : workers_)
    if (worker->thread.joinable()) worker->thread.join();
}

std::vector<RecordedOperation> SharedNamesLoad::operations() const {
  const std::vector<HistoryEntry> entries = history_.entries();
  std::vector<RecordedOperation> all;
  for (const auto& worker : workers_)
    for (const auto& [index, recorded] : worker->recorded)
      all.push_back(recorded), all.back().entry = entries[index];
  return all;
}

std::vector<std::string> SharedNamesLoad::problems() const {
  std::vector<std::string> all;
  for (const auto& worker : workers_) {
    std::ranges::copy(worker->problems, std::back_inserter(all));
    std::ranges::copy(worker->recorder.problems(), std::back_inserter(all));
  }
  return all;
}

}  // namespace bftmeta::test
