/* smesec: security engines that run inside the host's own process. The C face.
 *
 * Made by cbindgen from smesec-ffi/src; do not edit.
 *
 * Text and bytes are pointer and length (smesec_bytes); nothing needs to end in a zero byte. What
 * is handed in is read during the call only; what is handed to a callback is valid during that
 * callback only. A callback may not call back into the object that called it.
 *
 * Handles are opaque. Each is freed once by its own `_free`; freeing NULL does nothing. What is built
 * over a handle keeps what it needs: a rule set may be freed before its WAF, a WAF before its
 * transactions, a scanner before the filter over it.
 *
 * Threads: a rule set, rules over logs, a store, a WAF, a filter, a scanner, a sink, a suite of tests,
 * an audit and a report may be used by any number of threads at once. A builder, a transaction, its work and an event are used by
 * one thread at a time, and so is a SIEM engine, which refuses a second. No thread is started: events reach
 * a sink, and results of tests their callback, on the thread that made the call.
 *
 * Filters, detectors, scanners and sinks may be written in C: a table of functions, which is copied, and a
 * pointer of the host's that each function gets. What may be called on which thread stands at each
 * table. When a `_new` fails, the pointer is still the host's to free.
 *
 * Processes: what was made before a fork may be used in each child. Ids of events are unique within a WAF:
 * give each process's an `id_seed` of its own. Collections are each process's own but for those of
 * smesec_store_anonymous(), _file() and _region().
 *
 * Structs that are handed in begin with `size`, which the caller sets to sizeof: so a later library
 * knows which fields the caller's header has.
 *
 * Every function that can fail returns a smesec_status; smesec_last_error() has the text of this
 * thread's last failure. A panic inside the library never crosses the border: it becomes
 * SMESEC_STATUS_PANIC, and the library stays usable.
 */


#ifndef SMESEC_H
#define SMESEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number in the SONAME; smesec_abi_version() returns the library's. */
#define SMESEC_ABI 0


// What a call came to.
enum smesec_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  SMESEC_STATUS_OK = 0,
  // A pointer that may not be null was null.
  SMESEC_STATUS_NULL = 1,
  // A step came in the wrong phase of its transaction, or after its end.
  SMESEC_STATUS_WRONG_PHASE = 2,
  // A rule could not be read or compiled.
  SMESEC_STATUS_RULE = 10,
  // A setting or an argument is wrong.
  SMESEC_STATUS_CONFIG = 11,
  // The library refused a step in its phase.
  SMESEC_STATUS_PHASE = 12,
  // A limit was reached.
  SMESEC_STATUS_LIMIT = 13,
  // A file could not be read.
  SMESEC_STATUS_IO = 14,
  // An error of a kind that this header does not know.
  SMESEC_STATUS_OTHER = 98,
  // A defect of the library was caught at its border; the library stays usable.
  SMESEC_STATUS_PANIC = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_status smesec_status;
#else
typedef uint32_t smesec_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Who decides whether matches block.
enum smesec_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The rules' own SecRuleEngine.
  SMESEC_MODE_RULES = 0,
  // Matches block, whatever the rules say.
  SMESEC_MODE_BLOCK = 1,
  // Nothing blocks; findings and events are kept.
  SMESEC_MODE_DETECT = 2,
  // Nothing is inspected.
  SMESEC_MODE_OFF = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_mode smesec_mode;
#else
typedef uint32_t smesec_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a block becomes.
enum smesec_on_block
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // What the rule says.
  SMESEC_ON_BLOCK_DENY = 0,
  // The client goes to the decoy.
  SMESEC_ON_BLOCK_DECOY = 1,
  // It passes and the event is kept.
  SMESEC_ON_BLOCK_LOG = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_on_block smesec_on_block;
#else
typedef uint32_t smesec_on_block;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What happens when something could not be inspected whole.
enum smesec_on_limit
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It is stopped.
  SMESEC_ON_LIMIT_CLOSED = 0,
  // It passes and a finding says so.
  SMESEC_ON_LIMIT_OPEN = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_on_limit smesec_on_limit;
#else
typedef uint32_t smesec_on_limit;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the host is to do.
enum smesec_action
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nothing stands against it.
  SMESEC_ACTION_PASS = 0,
  // Let it pass; there are findings.
  SMESEC_ACTION_LOG = 1,
  // Answer with `status`.
  SMESEC_ACTION_DENY = 2,
  // Answer with a redirect of `status` to smesec_transaction_location().
  SMESEC_ACTION_REDIRECT = 3,
  // Hand the client over to the decoy.
  SMESEC_ACTION_DECOY = 4,
  // Close the connection without an answer.
  SMESEC_ACTION_DROP = 5,
  // Refuse the connection actively.
  SMESEC_ACTION_REJECT = 6,
  // No verdict yet: long work waits in smesec_transaction_take_work(). Only after
  // smesec_transaction_defer(). Hold the last piece of the body back until
  // smesec_transaction_resume() has answered otherwise.
  SMESEC_ACTION_PENDING = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_action smesec_action;
#else
typedef uint32_t smesec_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where a transaction stands.
enum smesec_phase
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Request line and headers.
  SMESEC_PHASE_REQUEST_HEAD = 1,
  // Request body.
  SMESEC_PHASE_REQUEST_BODY = 2,
  // Status line and headers of the response.
  SMESEC_PHASE_RESPONSE_HEAD = 3,
  // Response body.
  SMESEC_PHASE_RESPONSE_BODY = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_phase smesec_phase;
#else
typedef uint32_t smesec_phase;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a scan came to.
enum smesec_scan_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All of it was inspected and nothing was found.
  SMESEC_SCAN_OUTCOME_CLEAN = 0,
  // Something was found.
  SMESEC_SCAN_OUTCOME_DETECTED = 1,
  // Nothing was found in what could be inspected, but that was not all.
  SMESEC_SCAN_OUTCOME_INCOMPLETE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_scan_outcome smesec_scan_outcome;
#else
typedef uint32_t smesec_scan_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a report is written as.
enum smesec_report_form
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // JSON lines: one a test with its steps and, where something was found, `check`, `severity`, `evidence`; one a
  // cell of an audit's matrix; and a summary.
  SMESEC_REPORT_FORM_JSON_LINES = 0,
  // SARIF 2.1.0, for code scanning.
  SMESEC_REPORT_FORM_SARIF = 1,
  // JUnit's XML, for continuous integration.
  SMESEC_REPORT_FORM_JUNIT = 2,
  // One HTML file for a person who was not there.
  SMESEC_REPORT_FORM_HTML = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum smesec_report_form smesec_report_form;
#else
typedef uint32_t smesec_report_form;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a callback came to.
typedef struct smesec_answer smesec_answer;

// An audit of one target: immutable; any number of threads may use it at once.
typedef struct smesec_audit smesec_audit;

// One record of something that happened.
typedef struct smesec_event smesec_event;

// Admits HTTP transactions; for any number of threads at once.
typedef struct smesec_filter smesec_filter;

// Where a callback puts what it found; valid during that callback only.
typedef struct smesec_findings smesec_findings;

// What a run found, secrets masked in all that it tells: immutable; any number of threads may use it at once.
typedef struct smesec_report smesec_report;

// A compiled rule set: immutable, for any number of threads and hosts.
typedef struct smesec_ruleset smesec_ruleset;

// Collects rules in the order in which they are to run.
typedef struct smesec_ruleset_builder smesec_ruleset_builder;

// Examines objects; for any number of threads at once.
typedef struct smesec_scanner smesec_scanner;

// Reads logs, detects and correlates. One thread at a time: a call that finds another one running on the same
// engine, its own sink's among them, is refused with SMESEC_STATUS_WRONG_PHASE.
typedef struct smesec_siem_engine smesec_siem_engine;

// Compiled rules over logs: immutable; any number of threads may use them at once, for any number of engines.
typedef struct smesec_siem_rules smesec_siem_rules;

// Collects Sigma rules, correlations and filters, and what changes them. One thread at a time.
typedef struct smesec_siem_rules_builder smesec_siem_rules_builder;

// Receives events from any number of threads at once. Never blocks; counts what it drops.
typedef struct smesec_sink smesec_sink;

// Keeps persistent collections (`IP`, `SESSION`); for any number of threads at once.
typedef struct smesec_store smesec_store;

// Loaded test files: immutable; any number of threads may run them at once.
typedef struct smesec_tests smesec_tests;

// One HTTP transaction. Steps in their order: request head, request body up to its last piece (an
// empty last piece where there is none), response head, response body, finish. Each answers with the
// verdict so far; a decisive verdict stays, and the response's steps are then allowed at once.
typedef struct smesec_transaction smesec_transaction;

// The web application firewall.
typedef struct smesec_waf smesec_waf;

// Long work of a transaction: a scan, a look-up. Made by one thread, run by any, freed by any.
typedef struct smesec_work smesec_work;

// Bytes that somebody else owns; `data` may be null where `len` is 0.
typedef struct {
  // The first byte.
  const uint8_t *data;
  // How many.
  size_t len;
} smesec_bytes;

// One thing that a rule recognised.
typedef struct {
  // sizeof(smesec_finding).
  size_t size;
  // The rule's id.
  smesec_bytes rule_id;
  // The rule's title.
  smesec_bytes rule_name;
  // Where it was found, such as `ARGS:q`.
  smesec_bytes part;
  // What was found; mask secrets.
  smesec_bytes evidence;
  // One line for a person.
  smesec_bytes message;
  // 1 informational, 2 low, 3 medium, 4 high, 5 critical.
  uint32_t severity;
} smesec_finding;

// The fields of an event that C hosts make and read; the JSON form has them all.
typedef struct {
  // sizeof(smesec_event_fields).
  size_t size;
  // When it happened, in nanoseconds since 1970 UTC; 0 lets the library ask the system's clock.
  int64_t unix_nanos;
  // The upper half of its id: the host's seed.
  uint64_t id_seed;
  // The lower half: the host's counter.
  uint64_t id_counter;
  // One line for a person.
  smesec_bytes message;
  // The user; empty where unknown.
  smesec_bytes user;
  // The device; empty where unknown.
  smesec_bytes device;
  // What it is about, where neither user nor device says it.
  smesec_bytes entity;
  // The transaction, flow or scan that it belongs to.
  smesec_bytes transaction_id;
  // 1 informational, 2 low, 3 medium, 4 high, 5 critical.
  uint32_t severity;
  // What was done: a smesec_action.
  uint32_t action;
} smesec_event_fields;

// Receives a text, JSON where the function says so. `user` is what the host handed over.
typedef void (*smesec_text_fn)(void *user,
                               smesec_bytes text);

// Who talks to whom.
typedef struct {
  // sizeof(smesec_connection).
  size_t size;
  // The client's address as text, IPv4 or IPv6.
  smesec_bytes client_address;
  // The server's address as text.
  smesec_bytes server_address;
  // The client's port.
  uint16_t client_port;
  // The server's port.
  uint16_t server_port;
  // Now, in nanoseconds since 1970 UTC; 0 lets the library ask the system's clock.
  int64_t unix_nanos;
} smesec_connection;

// A name and a value.
typedef struct {
  // The name as sent.
  smesec_bytes name;
  // The value as sent.
  smesec_bytes value;
} smesec_header;

// A request's first line and headers.
typedef struct {
  // sizeof(smesec_request_head).
  size_t size;
  // Such as `GET`.
  smesec_bytes method;
  // Path and query as sent, nothing decoded.
  smesec_bytes target;
  // Such as `HTTP/1.1`.
  smesec_bytes version;
  // The headers in their order.
  const smesec_header *headers;
  // How many.
  size_t header_count;
  // Now, as in smesec_connection.
  int64_t unix_nanos;
} smesec_request_head;

// The answer of a step. Set `size` before the call.
typedef struct {
  // sizeof(smesec_verdict).
  size_t size;
  // A smesec_action; 2 to 6 end the transaction.
  uint32_t action;
  // The HTTP status of Deny and Redirect, else 0.
  uint16_t status;
  // The anomaly score, 0 where no rule scored.
  int32_t score;
} smesec_verdict;

// A response's status and headers.
typedef struct {
  // sizeof(smesec_response_head).
  size_t size;
  // Such as `HTTP/1.1`.
  smesec_bytes version;
  // The headers in their order.
  const smesec_header *headers;
  // How many.
  size_t header_count;
  // Now, as in smesec_connection.
  int64_t unix_nanos;
  // The status code.
  uint16_t status;
} smesec_response_head;

// How the host ended a transaction.
typedef struct {
  // sizeof(smesec_outcome).
  size_t size;
  // Bytes of the response's body that were sent.
  uint64_t bytes;
  // Now, as in smesec_connection.
  int64_t unix_nanos;
  // The status that the client got, 0 where it got none.
  uint16_t status;
  // Whether the exchange broke off.
  bool aborted;
} smesec_outcome;

// A filter written in C. `begin` may be called by several threads at once; what it returns is a
// transaction's state, and its functions are called by one thread at a time. A step writes its verdict;
// PASS stands there before. Functions that are NULL answer with the verdict so far.
typedef struct {
  // sizeof(smesec_filter_vtable).
  size_t size;
  // The upper half of the id of each event.
  uint64_t id_seed;
  // A transaction begins; returns its state, which may be NULL.
  void *(*begin)(void *user,
                 const smesec_connection *connection);
  // Whether the body of `phase` (2 or 4) is wanted; `hold` gets the bytes to hold back, 0 for none.
  // NULL for filters that need no body.
  bool (*wants)(void *state,
                uint32_t phase,
                uint64_t *hold);
  // The request's head.
  void (*request_head)(void *state,
                       const smesec_request_head *head,
                       smesec_findings *findings,
                       smesec_verdict *verdict);
  // A piece of the request's body.
  void (*request_body)(void *state,
                       smesec_bytes chunk,
                       bool last,
                       smesec_findings *findings,
                       smesec_verdict *verdict);
  // The response's head.
  void (*response_head)(void *state,
                        const smesec_response_head *head,
                        smesec_findings *findings,
                        smesec_verdict *verdict);
  // A piece of the response's body.
  void (*response_body)(void *state,
                        smesec_bytes chunk,
                        bool last,
                        smesec_findings *findings,
                        smesec_verdict *verdict);
  // After a step answered SMESEC_ACTION_PENDING: the long work, on a thread of the host's pool.
  void (*work)(void *state,
               smesec_findings *findings,
               smesec_verdict *verdict);
  // Where a redirect leads; asked for after a step answered with one.
  smesec_bytes (*location)(void *state);
  // The transaction was logged. One event with all findings has been made of them already.
  void (*finish)(void *state,
                 const smesec_outcome *outcome);
  // Called once for each state, finished or not; may be NULL.
  void (*free_state)(void *state);
  // Called once, when nothing uses the filter any more; may be NULL.
  void (*free)(void *user);
} smesec_filter_vtable;

// What is known of an object when it begins.
typedef struct {
  // sizeof(smesec_object) of the library.
  size_t size;
  // The file name that the sender gave; never a path to trust.
  smesec_bytes name;
  // The field that it came in.
  smesec_bytes field;
  // The media type that the sender claims.
  smesec_bytes content_type;
} smesec_object;

// An intake written in C. `open` may be called by several threads at once; what it returns is the object's
// state, and its functions are called by one thread at a time.
typedef struct {
  // sizeof(smesec_intake_vtable).
  size_t size;
  // An object begins; returns its state, which may be NULL.
  void *(*open)(void *user,
                const smesec_object *object);
  // Bytes of it.
  void (*data)(void *state,
               smesec_bytes bytes);
  // It ends; `complete` is false where the stream broke off. True asks for `scan`.
  bool (*close)(void *state,
                bool complete);
  // The long work on it, where the host runs its work; what it adds is judged by the filter.
  void (*scan)(void *state,
               smesec_findings *findings);
  // Called once for each state; may be NULL.
  void (*free_state)(void *state);
  // Called once, when nothing uses the intake any more; may be NULL.
  void (*free)(void *user);
} smesec_intake_vtable;

// A line of the load report. Its texts live as long as the rule set.
typedef struct {
  // sizeof(smesec_problem).
  size_t size;
  // The file, or the origin of a text.
  smesec_bytes file;
  // The rule's id; empty where it could not be read.
  smesec_bytes rule;
  // What was found and what to do.
  smesec_bytes why;
  // The line, from 1.
  uint32_t line;
  // The column, from 1.
  uint32_t column;
  // Whether the rule is in force, but does less than it says; else it is not in force.
  bool degraded;
} smesec_problem;

// A scanner written in C.
typedef struct {
  // sizeof(smesec_scanner_vtable).
  size_t size;
  // Scans one object: its name, and all of its bytes. Adds what it found, and what it
  // could not inspect, to `findings`. It may take long; it runs where the host runs its work.
  void (*scan)(void *user,
               smesec_bytes name,
               smesec_bytes data,
               smesec_findings *findings);
  // Called once, when nothing uses the scanner any more; may be NULL.
  void (*free)(void *user);
  // Whether `scan` may run on several threads at once; else the library lets one in at a time.
  bool concurrent;
} smesec_scanner_vtable;

// Settings of an engine over logs; all zero but `size` are the defaults.
typedef struct {
  // sizeof(smesec_siem_options).
  size_t size;
  // How late a record may come after newer ones of its origin, in nanoseconds; alarms come as much later.
  // 0 for 30 s.
  int64_t lateness_nanos;
  // How long an origin may be silent before the others no longer wait for it, in nanoseconds; 0 for 60 s.
  int64_t idle_nanos;
  // Groups kept for each correlation; 0 for 100,000.
  size_t groups;
  // Hits that wait for their time, of all correlations together; 0 for 1,000,000.
  size_t pending;
  // The longest event in bytes; longer ones are passed over and told. 0 for 1 MiB.
  size_t event_bytes;
  // Origins that are read at a time; 0 for 1,000.
  size_t origins;
  // Is told each event that could not be read, as `origin:line: why`; may be NULL. It is called inside
  // smesec_siem_engine_feed(), _close() and _finish().
  smesec_text_fn bad_line;
  // What `bad_line` gets; it has to stay until the engine is freed.
  void *bad_line_user;
  // The zone of time stamps that name none, in seconds east of Greenwich.
  int32_t zone_seconds;
  // The records are stored ones in no order: all that is correlated waits for smesec_siem_engine_finish().
  bool stored;
  // HOME_NET: networks divided by commas, such as `10.0.0.0/8, 192.168.0.0/16`. None.
  smesec_bytes home_net;
  // An inventory in YAML: what hosts and networks are worth, 0 to 5. None.
  smesec_bytes assets;
  // Policies in YAML: what is done with an event before it is correlated. None.
  smesec_bytes policies;
  // Directives, in OSSIM's XML or in YAML. None. Single ones that cannot run stand in smesec_siem_engine_report().
  smesec_bytes directives;
} smesec_siem_options;

// What an engine has met so far.
typedef struct {
  // sizeof(smesec_siem_statistics).
  size_t size;
  // Bytes handed in.
  uint64_t bytes;
  // Records made of them.
  uint64_t records;
  // Events that could not be read.
  uint64_t bad;
  // Events with bytes that are no UTF-8, which were replaced.
  uint64_t replaced;
  // Records that no rule's log source fits.
  uint64_t unplaced;
  // Hits that came too late to be correlated.
  uint64_t late;
  // Hits that were lost or judged before their time because a limit was reached.
  uint64_t limited;
  // Alarms opened, among them those that only other correlations are told of.
  uint64_t alarms;
  // Origins that are being read now.
  size_t origins;
} smesec_siem_statistics;

// A sink written in C.
typedef struct {
  // sizeof(smesec_sink_vtable).
  size_t size;
  // Takes one event, on any thread; must not block, and must not call the sink again.
  void (*accept)(void *user,
                 const smesec_event *event);
  // Called once, when nothing uses the sink any more; may be NULL.
  void (*free)(void *user);
} smesec_sink_vtable;

// A detector of events written in C: a correlator, a counter. Its functions are called by one thread at a
// time, inside smesec_sink_drain().
typedef struct {
  // sizeof(smesec_detector_vtable).
  size_t size;
  // Looks at one event; what it recognises goes to `raised`, which is valid during the call.
  void (*observe)(void *user,
                  const smesec_event *event,
                  const smesec_sink *raised);
  // Tells the time, so that windows close; may be NULL.
  void (*advance)(void *user,
                  int64_t unix_nanos,
                  const smesec_sink *raised);
  // Called once, when nothing uses the detector any more; may be NULL.
  void (*free)(void *user);
} smesec_detector_vtable;

// A name and what it stands for.
typedef struct {
  // The name.
  smesec_bytes name;
  // The value.
  smesec_bytes value;
} smesec_setting;

// How a description is read and tried; all zero but `size` are the defaults.
typedef struct {
  // sizeof(smesec_audit_options).
  size_t size;
  // The variables behind `{env: NAME}`: the library reads no environment.
  const smesec_setting *env;
  // How many.
  size_t env_count;
  // Names of the checks to run, such as `bfla-read`; none for all.
  const smesec_bytes *only;
  // How many.
  size_t only_count;
  // Tries also what changes the target's data or locks accounts.
  bool destructive;
} smesec_audit_options;

// How the tests of a run ended, or the checks of an audit.
typedef struct {
  // sizeof(smesec_test_counts).
  size_t size;
  // Every assertion held.
  size_t passed;
  // Failed, as they say they must.
  size_t expected_failures;
  // An assertion did not hold; of an audit: its findings.
  size_t failed;
  // Could not be run.
  size_t refused;
  // Were not run, because they or the options say so, or the target has not what they need.
  size_t skipped;
} smesec_test_counts;

// Functions of the host's own, which test files call by name. They are called on the threads that load and run
// the suite, so by several at once if several run it.
typedef struct {
  // sizeof(smesec_extension_vtable).
  size_t size;
  // Whether there is a function of that name, such as `my_package.checks:is_paid`; NULL offers every name. A
  // test that needs one that is not offered is skipped and says so.
  bool (*offers)(void *user,
                 smesec_bytes function);
  // Calls a function. `arguments` is a JSON object: `args`, a list; `kwargs`, an object; `response`, the answer
  // it judges, or null: `status`, `headers` (pairs of name and value) and `body`, bytes that are not UTF-8
  // replaced. It sets `answer`; one that is not set is null.
  void (*call)(void *user,
               smesec_bytes function,
               smesec_bytes arguments,
               smesec_answer *answer);
  // Called once, when nothing uses the functions any more; may be NULL.
  void (*free)(void *user);
} smesec_extension_vtable;

// How test files are loaded and run; all zero but `size` are the defaults.
typedef struct {
  // sizeof(smesec_tests_options).
  size_t size;
  // The variables behind `tavern.env_vars`: the library reads no environment.
  const smesec_setting *env;
  // How many.
  size_t env_count;
  // What secret placeholders stand for, by their names such as `LOGIN_PASSWORD`. They are masked in all that
  // the library tells.
  const smesec_setting *secrets;
  // How many.
  size_t secret_count;
  // Paths of global configurations, whose variables and stages lie below those of every test.
  const smesec_bytes *globals;
  // How many.
  size_t global_count;
  // Takes only tests whose marks fit this expression, as pytest's -m does; empty for all.
  smesec_bytes select;
  // What identifiers (`!uuid`) are made from; 0 for a random number.
  uint64_t seed;
  // The host's own functions behind `$ext`; NULL for none. The table is copied.
  const smesec_extension_vtable *extension;
  // What those functions get.
  void *extension_user;
  // Lets tests reach the hosts that they name at public addresses too; else only private and loopback ones.
  bool allow_public;
  // Refuses a `response` that stands inside its `request`.
  bool strict_layout;
} smesec_tests_options;

// A test file in Tavern's format.
typedef struct {
  // Its path; what it names is looked for beside it.
  smesec_bytes name;
  // Its text, where the host has it; with `data` NULL the file is read.
  smesec_bytes text;
} smesec_test_file;

// Settings of a WAF; all zero but `size` are the defaults.
typedef struct {
  // sizeof(smesec_waf_options).
  size_t size;
  // A smesec_mode.
  uint32_t mode;
  // A smesec_on_block.
  uint32_t on_block;
  // A smesec_on_limit.
  uint32_t on_limit;
  // The upper half of every event id; give each process its own.
  uint64_t id_seed;
  // Values looked at by rules in one transaction; 0 for the default.
  uint64_t steps;
  // Where persistent collections live; NULL for the process's own memory. It may be freed before the WAF.
  const smesec_store *store;
  // Whether events carry the headers of request and response, secrets masked.
  bool record_headers;
} smesec_waf_options;

// Takes some rules away from some requests, for a while. Empty texts and zeros do not narrow it.
typedef struct {
  // sizeof(smesec_exception).
  size_t size;
  // The first rule id; 0 for all rules.
  uint64_t first_rule;
  // The last rule id, inclusive; 0 for `first_rule`.
  uint64_t last_rule;
  // A tag that the rules carry.
  smesec_bytes tag;
  // Only this target is taken away, such as `ARGS:comment`.
  smesec_bytes target;
  // Only for paths that begin with this.
  smesec_bytes path_prefix;
  // Why it was made.
  smesec_bytes reason;
  // From when on it no longer holds, in nanoseconds since 1970 UTC; 0 for never.
  int64_t expires_unix_nanos;
} smesec_exception;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The ABI that this library speaks; equal to SMESEC_ABI of the header it was built with.
uint32_t smesec_abi_version(void);

// The version, such as `0.1.0`; valid for ever.
smesec_bytes smesec_version(void);

// A status in words; valid for ever. Takes a number, so that unknown ones have words too.
smesec_bytes smesec_status_text(uint32_t status);

// The text of this thread's last failure, empty where there was none; valid until the next call on
// this thread.
smesec_bytes smesec_last_error(void);

// Adds a finding; beyond 1,000 in one callback they are dropped.
smesec_status smesec_findings_add(smesec_findings *findings,
                                  const smesec_finding *finding);

// For scanners: says that `member` (empty for the object itself) was not inspected, and why. An object with
// such a note is never called clean.
smesec_status smesec_findings_skip(smesec_findings *findings,
                                   smesec_bytes member,
                                   smesec_bytes why);

// An event of the host's own.
smesec_status smesec_event_new(const smesec_event_fields *fields,
                               smesec_event **out);

// Adds a finding to an event of the host's own.
smesec_status smesec_event_add_finding(smesec_event *event,
                                       const smesec_finding *finding);

// Fills `out`; its texts live as long as the event. Set `size` before the call.
smesec_status smesec_event_fields_of(const smesec_event *event,
                                     smesec_event_fields *out);

// How many findings an event has, 0 for NULL.
size_t smesec_event_finding_count(const smesec_event *event);

// Fills `out` with finding `n` from 0; its texts live as long as the event. Set `size` before the call.
smesec_status smesec_event_finding(const smesec_event *event,
                                   size_t n,
                                   smesec_finding *out);

// Tells an event as one JSON object (form v1).
smesec_status smesec_event_json(const smesec_event *event,
                                smesec_text_fn tell_to,
                                void *user);

// Tells an event of the firewall as a line of ModSecurity's JSON audit log, for tools that read that. Headers
// are there where the WAF records them. `ruleset` is the one that was in force.
smesec_status smesec_event_modsecurity_json(const smesec_event *event,
                                            const smesec_ruleset *ruleset,
                                            smesec_text_fn tell_to,
                                            void *user);

// Frees an event that smesec_event_new() made.
void smesec_event_free(smesec_event *event);

// A filter written in C. The table is copied; `user` is handed to its functions. After a failure `user`
// is still the host's to free.
smesec_status smesec_filter_new(const smesec_filter_vtable *vtable,
                                void *user,
                                smesec_filter **out);

// A WAF as a filter. Reloads of the WAF reach it; the WAF may be freed before it.
smesec_status smesec_filter_waf(const smesec_waf *waf,
                                smesec_filter **out);

// Several filters as one, in order: the first decisive verdict wins, the findings of all are kept. Put the
// WAF last: uploads of smesec_filter_scanning() come from the last.
smesec_status smesec_filter_chain(const smesec_filter *const *filters,
                                  size_t count,
                                  smesec_filter **out);

// The same filter with its uploads going to a scanner; `spool_bytes` is kept in memory for each transaction at
// most, 0 for the default of 32 MiB. An upload that was not scanned whole is a finding, and the
// filter's policy on limits decides.
smesec_status smesec_filter_scanning(const smesec_filter *filter,
                                     const smesec_scanner *scanner,
                                     size_t spool_bytes,
                                     smesec_filter **out);

// Begins a transaction.
smesec_status smesec_filter_begin(const smesec_filter *filter,
                                  const smesec_connection *connection,
                                  smesec_transaction **out);

// Frees a filter; transactions and what was built over it keep what they need.
void smesec_filter_free(smesec_filter *filter);

// The same filter with the objects (uploads) inside its bodies going to an intake written in C. The table is
// copied; `user` is handed to `open` and `free`.
smesec_status smesec_filter_intake(const smesec_filter *filter,
                                   const smesec_intake_vtable *vtable,
                                   void *user,
                                   smesec_filter **out);

// A builder without rules.
smesec_status smesec_ruleset_builder_new(smesec_ruleset_builder **out);

// Adds a rule file in SecLang with what it includes. What is wrong in it stands in the report.
smesec_status smesec_ruleset_builder_path(smesec_ruleset_builder *builder,
                                          smesec_bytes path);

// Adds rules from memory; `origin` is the file name that the report shows.
smesec_status smesec_ruleset_builder_text(smesec_ruleset_builder *builder,
                                          smesec_bytes origin,
                                          smesec_bytes text);

// Adds the library's own rule pack.
smesec_status smesec_ruleset_builder_builtin(smesec_ruleset_builder *builder);

// Sets the paranoia level of the Core Rule Set and of the own pack, 1 to 4.
smesec_status smesec_ruleset_builder_paranoia(smesec_ruleset_builder *builder,
                                              uint8_t level);

// With true a single refused rule makes `build` fail; false unless set.
smesec_status smesec_ruleset_builder_strict(smesec_ruleset_builder *builder,
                                            bool strict);

// Compiles. The builder is spent, whatever comes of it, and still has to be freed.
smesec_status smesec_ruleset_builder_build(smesec_ruleset_builder *builder,
                                           smesec_ruleset **out);

// Frees a builder.
void smesec_ruleset_builder_free(smesec_ruleset_builder *builder);

// Rules in force, 0 for NULL.
size_t smesec_ruleset_len(const smesec_ruleset *ruleset);

// Tells the load report as one JSON object: `loaded`, and the lists `refused` and `degraded` of
// `file`, `line`, `column`, `rule`, `why`.
smesec_status smesec_ruleset_report(const smesec_ruleset *ruleset,
                                    smesec_text_fn tell_to,
                                    void *user);

// How many rules are not in force, and how many do less than they say: the latter come after the
// former. 0 for NULL.
size_t smesec_ruleset_problem_count(const smesec_ruleset *ruleset);

// Fills `out` with problem `n` from 0. Set `size` before the call.
smesec_status smesec_ruleset_problem(const smesec_ruleset *ruleset,
                                     size_t n,
                                     smesec_problem *out);

// Frees a rule set; a WAF over it keeps what it needs.
void smesec_ruleset_free(smesec_ruleset *ruleset);

// A scanner written in C. The table is copied; `user` is handed to its functions.
smesec_status smesec_scanner_new(const smesec_scanner_vtable *vtable,
                                 void *user,
                                 smesec_scanner **out);

// Scans bytes. `outcome` gets a smesec_scan_outcome; `tell_to` (may be NULL) is told one JSON object:
// `outcome`, `findings`, and `skipped` with `member` and `why`.
smesec_status smesec_scanner_scan(const smesec_scanner *scanner,
                                  smesec_bytes name,
                                  smesec_bytes data,
                                  uint32_t *outcome,
                                  smesec_text_fn tell_to,
                                  void *user);

// Scans a file; of one above 64 MiB the first part, and that is `SMESEC_SCAN_OUTCOME_INCOMPLETE`.
// So is a file that cannot be read, since what nobody looked at may not pass for clean.
smesec_status smesec_scanner_scan_file(const smesec_scanner *scanner,
                                       smesec_bytes path,
                                       uint32_t *outcome,
                                       smesec_text_fn tell_to,
                                       void *user);

// Frees a scanner; what was built over it keeps what it needs.
void smesec_scanner_free(smesec_scanner *scanner);

// An engine over rules; `options` may be NULL for the defaults. The rules may be freed before it.
smesec_status smesec_siem_engine_new(const smesec_siem_rules *rules,
                                     const smesec_siem_options *options,
                                     smesec_siem_engine **out);

// Hands in the next bytes of one origin (a file, a connection, a device: alarms wait for the slowest of them),
// cut anywhere. What they complete is judged, and detections and alarms go to `sink` as events before this
// returns. `format` is a name such as `syslog`, `json`, `access`, `auditd`, `evtx`, or empty to find it out; it
// stays the same for an origin. `unix_nanos` is when the bytes arrived, in nanoseconds since 1970 UTC; 0 lets
// the library ask the system's clock. SMESEC_STATUS_LIMIT when there are too many origins.
smesec_status smesec_siem_engine_feed(const smesec_siem_engine *engine,
                                      smesec_bytes origin,
                                      smesec_bytes format,
                                      smesec_bytes bytes,
                                      int64_t unix_nanos,
                                      const smesec_sink *sink);

// Tells that no more bytes of an origin come: its last event is judged and its reader freed.
smesec_status smesec_siem_engine_close(const smesec_siem_engine *engine,
                                       smesec_bytes origin,
                                       const smesec_sink *sink);

// Tells the time, in nanoseconds since 1970 UTC, 0 for the system's clock: windows close, absences are noticed,
// and silent origins no longer hold others back. Call it every second or so where records may stay away.
smesec_status smesec_siem_engine_advance(const smesec_siem_engine *engine,
                                         int64_t unix_nanos,
                                         const smesec_sink *sink);

// Closes all origins and judges all that waits, as if nothing later would come. The engine may be fed again.
smesec_status smesec_siem_engine_finish(const smesec_siem_engine *engine,
                                        const smesec_sink *sink);

// Fills `out` with what the engine has met so far. Set `size` before the call.
smesec_status smesec_siem_engine_statistics(const smesec_siem_engine *engine,
                                            smesec_siem_statistics *out);

// Tells what of the options' directives cannot run, as smesec_siem_rules_report() tells it of rules.
smesec_status smesec_siem_engine_report(const smesec_siem_engine *engine,
                                        smesec_text_fn tell_to,
                                        void *user);

// Tells all that correlations and directives hold, as bytes with a version and a checksum: an engine over the same rules
// goes on from it with smesec_siem_engine_restore(). Pieces of events whose end has not come are not in it.
smesec_status smesec_siem_engine_snapshot(const smesec_siem_engine *engine,
                                          smesec_text_fn tell_to,
                                          void *user);

// Takes a snapshot up, beside what the engine holds already. `skipped`, which may be NULL, gets how many groups were left
// out because their rule is gone or has changed. SMESEC_STATUS_CONFIG for bytes that are no snapshot, are damaged or of
// another version.
smesec_status smesec_siem_engine_restore(const smesec_siem_engine *engine,
                                         smesec_bytes snapshot,
                                         size_t *skipped);

// Frees an engine; what waited in it is not judged.
void smesec_siem_engine_free(smesec_siem_engine *engine);

// A builder without rules.
smesec_status smesec_siem_rules_builder_new(smesec_siem_rules_builder **out);

// Adds a file, or all .yml and .yaml files below a folder in the order of their names. A path that cannot be
// read makes `build` fail.
smesec_status smesec_siem_rules_builder_path(smesec_siem_rules_builder *builder,
                                             smesec_bytes path);

// Adds the documents of a text; `origin` is the file name that the report shows.
smesec_status smesec_siem_rules_builder_text(smesec_siem_rules_builder *builder,
                                             smesec_bytes origin,
                                             smesec_bytes text);

// Adds the library's own rules.
smesec_status smesec_siem_rules_builder_builtin(smesec_siem_rules_builder *builder);

// Adds values for placeholders such as `%admins%`: a YAML mapping from names to values or lists of values.
smesec_status smesec_siem_rules_builder_placeholders(smesec_siem_rules_builder *builder,
                                                     smesec_bytes origin,
                                                     smesec_bytes text);

// Adds a pipeline in pySigma's form; pipelines change rules by ascending priority.
smesec_status smesec_siem_rules_builder_pipeline(smesec_siem_rules_builder *builder,
                                                 smesec_bytes origin,
                                                 smesec_bytes text);

// With true a single refused rule makes `build` fail; false unless set.
smesec_status smesec_siem_rules_builder_strict(smesec_siem_rules_builder *builder,
                                               bool strict);

// Compiles. The builder is spent, whatever comes of it, and still has to be freed.
smesec_status smesec_siem_rules_builder_build(smesec_siem_rules_builder *builder,
                                              smesec_siem_rules **out);

// Frees a builder.
void smesec_siem_rules_builder_free(smesec_siem_rules_builder *builder);

// Rules in force, correlations not counted; 0 for NULL.
size_t smesec_siem_rules_len(const smesec_siem_rules *rules);

// Tells the load report as one JSON object: `loaded`, and the lists `refused` and `degraded` of
// `file`, `line`, `column`, `rule`, `why`.
smesec_status smesec_siem_rules_report(const smesec_siem_rules *rules,
                                       smesec_text_fn tell_to,
                                       void *user);

// Frees rules; an engine over them keeps what it needs.
void smesec_siem_rules_free(smesec_siem_rules *rules);

// A sink written in C. The table is copied; `user` is handed to its functions.
smesec_status smesec_sink_new(const smesec_sink_vtable *vtable,
                              void *user,
                              smesec_sink **out);

// A queue of at most `capacity` events; smesec_sink_drain() empties it.
smesec_status smesec_sink_queue(size_t capacity,
                                smesec_sink **out);

// Hands every event to each of `count` sinks, in order. They may be freed before the tee.
smesec_status smesec_sink_tee(const smesec_sink *const *sinks,
                              size_t count,
                              smesec_sink **out);

// Puts a detector written in C behind a queue of `capacity` events; the host calls
// smesec_sink_drain() where and when it likes. What it raises is one generation above what it saw, and
// generations beyond 3 are dropped, so detectors that feed each other come to rest.
smesec_status smesec_sink_detector(const smesec_detector_vtable *vtable,
                                   void *user,
                                   size_t capacity,
                                   smesec_sink **out);

// Hands an event to a sink; the event stays the caller's.
smesec_status smesec_sink_accept(const smesec_sink *sink,
                                 const smesec_event *event);

// Empties a queue into `into`, or lets a detector see what waits and tells it the time
// (nanoseconds since 1970 UTC, 0 for the system's clock); what it raises goes to `into`.
smesec_status smesec_sink_drain(const smesec_sink *sink,
                                int64_t unix_nanos,
                                const smesec_sink *into);

// Events that a queue or a detector's queue dropped so far; 0 for other sinks and NULL.
uint64_t smesec_sink_dropped(const smesec_sink *sink);

// Frees a sink; what was built over it keeps what it needs.
void smesec_sink_free(smesec_sink *sink);

// This process's own memory.
smesec_status smesec_store_memory(smesec_store **out);

// Memory of this process and of its later children: make it before the fork. 64 KiB at least.
smesec_status smesec_store_anonymous(size_t size,
                                     smesec_store **out);

// The memory of a file, for every process that opens the same one with the same size.
smesec_status smesec_store_file(smesec_bytes path,
                                size_t size,
                                smesec_store **out);

// Memory that the host shares by its own means, all zero at first, aligned to 8 bytes. It has to stay
// until the store and all that was built over it are freed, and nobody else may write to it. The first
// call has to be over before another process makes one.
smesec_status smesec_store_region(void *start,
                                  size_t size,
                                  smesec_store **out);

// Frees a store; a WAF over it keeps what it needs.
void smesec_store_free(smesec_store *store);

// Reads the description of a target; `options` may be NULL for the defaults. `name` is its path, beside which
// files of secrets are looked for, and `text` its text; with `data` NULL the file is read. Nothing is sent.
smesec_status smesec_audit_load(const smesec_audit_options *options,
                                smesec_bytes name,
                                smesec_bytes text,
                                smesec_audit **out);

// Tells what was understood as one JSON object: `warnings`, a list of texts; `hosts`, the pairs of host and port
// (or null for any) that a run may connect to; and its bounds `requests` and `per_second`.
smesec_status smesec_audit_report(const smesec_audit *audit,
                                  smesec_text_fn tell_to,
                                  void *user);

// Tells each request that a run would send to a sound target, as one JSON object, secrets masked: `check`, `as`,
// `purpose`, `method`, `url`, `headers`, `body`. Nothing is sent.
smesec_status smesec_audit_plan(const smesec_audit *audit,
                                smesec_text_fn tell_to,
                                void *user);

// Runs the checks on this thread, which waits for answers, within the description's own bounds. It connects to
// the hosts that the description names, and to no other. `finished`, `counts` and `report` are as those of
// smesec_tests_run(), each may be NULL; a finding's severity, evidence and exchanges stand in the report. A finding
// is no failure of the call.
smesec_status smesec_audit_run(const smesec_audit *audit,
                               smesec_text_fn finished,
                               void *user,
                               smesec_test_counts *counts,
                               smesec_report **report);

// Frees an audit; not while it runs.
void smesec_audit_free(smesec_audit *audit);

// Answers a call with a value, as JSON.
smesec_status smesec_answer_value(smesec_answer *answer,
                                  smesec_bytes json);

// Answers a call with a failure and its reason: a check that fails so has failed its test.
smesec_status smesec_answer_failure(smesec_answer *answer,
                                    smesec_bytes why);

// Tells a report as one text. `form` is a smesec_report_form.
smesec_status smesec_report_write(const smesec_report *report,
                                  uint32_t form,
                                  smesec_text_fn tell_to,
                                  void *user);

// Frees a report.
void smesec_report_free(smesec_report *report);

// Loads `count` test files; `options` may be NULL for the defaults. Nothing is sent. What is wrong in them stands
// in the report, and a test that is refused in the suite too, so that a run shows it.
smesec_status smesec_tests_load(const smesec_tests_options *options,
                                const smesec_test_file *files,
                                size_t count,
                                smesec_tests **out);

// Tests in the suite, refused ones among them; 0 for NULL.
size_t smesec_tests_len(const smesec_tests *tests);

// Tells the load report as one JSON object: `loaded`; the lists `refused` and `degraded` of `file`, `line`,
// `column`, `rule`, `why`, secrets masked; and `hosts`, the pairs of host and port (or null for any) that a run
// may connect to.
smesec_status smesec_tests_report(const smesec_tests *tests,
                                  smesec_text_fn tell_to,
                                  void *user);

// Runs the tests one after another on this thread, which waits for answers and sleeps where tests ask for it. It
// connects to the hosts that the files name, and to no other. `finished` (may be NULL) is told each result as one
// JSON object as soon as it is there, secrets masked: `test`, `file`, `line`, `verdict` (`passed`, `xfailed`,
// `failed`, `refused`, `skipped`), `why`, `elapsed_ms`, `steps`, `warnings`. `counts` may be NULL; set its `size`
// before the call. `report` may be NULL; else it gets a handle of all results. A failed test is no failure of the
// call; a file that could not be read is, and nothing is sent.
smesec_status smesec_tests_run(const smesec_tests *tests,
                               smesec_text_fn finished,
                               void *user,
                               smesec_test_counts *counts,
                               smesec_report **report);

// Frees a suite; not while it runs.
void smesec_tests_free(smesec_tests *tests);

// Begins a transaction under the rules now in force.
smesec_status smesec_transaction_begin(const smesec_waf *waf,
                                       const smesec_connection *connection,
                                       smesec_transaction **out);

// With true a step may answer SMESEC_ACTION_PENDING, and the host runs the work where it likes. Unless
// set, long work is done inside the step.
smesec_status smesec_transaction_defer(smesec_transaction *transaction,
                                       bool defer);

// The request's head.
smesec_status smesec_transaction_request_head(smesec_transaction *transaction,
                                              const smesec_request_head *head,
                                              smesec_verdict *out);

// A piece of the request's body; `last` with the last one, which may be empty.
smesec_status smesec_transaction_request_body(smesec_transaction *transaction,
                                              smesec_bytes chunk,
                                              bool last,
                                              smesec_verdict *out);

// The response's head.
smesec_status smesec_transaction_response_head(smesec_transaction *transaction,
                                               const smesec_response_head *head,
                                               smesec_verdict *out);

// A piece of the response's body.
smesec_status smesec_transaction_response_body(smesec_transaction *transaction,
                                               smesec_bytes chunk,
                                               bool last,
                                               smesec_verdict *out);

// After SMESEC_ACTION_PENDING: the work, to be handed to smesec_work_run() and then to
// smesec_transaction_resume(). NULL with SMESEC_STATUS_OK where none waits.
smesec_status smesec_transaction_take_work(smesec_transaction *transaction,
                                           smesec_work **out);

// Runs the work, on any thread, once.
smesec_status smesec_work_run(smesec_work *work);

// Hands back work that was run; the answer is a verdict, or SMESEC_ACTION_PENDING where more waits. The
// work is spent, and still has to be freed.
smesec_status smesec_transaction_resume(smesec_transaction *transaction,
                                        smesec_work *work,
                                        smesec_verdict *out);

// Frees work, run or not. A transaction whose work was never handed back can only be finished.
void smesec_work_free(smesec_work *work);

// How many bytes of a body (`phase` 2 or 4) the host has to hold back until the verdict on its last
// piece: 0 where pieces may go on at once. `wanted` says whether the body has to be handed over at
// all; a body that is not wanted still ends with an empty last piece.
smesec_status smesec_transaction_wants(const smesec_transaction *transaction,
                                       uint32_t phase_number,
                                       bool *wanted,
                                       uint64_t *hold);

// Where a redirect leads, empty where there is none; valid until the transaction's next step.
smesec_bytes smesec_transaction_location(const smesec_transaction *transaction);

// How many findings there are so far, 0 for NULL and after `finish`.
size_t smesec_transaction_finding_count(const smesec_transaction *transaction);

// Fills `out` with finding `n` from 0; its texts live until the transaction's next step. Set `size`
// before the call.
smesec_status smesec_transaction_finding(const smesec_transaction *transaction,
                                         size_t n,
                                         smesec_finding *out);

// Tells the findings so far as one JSON array.
smesec_status smesec_transaction_findings_json(const smesec_transaction *transaction,
                                               smesec_text_fn tell_to,
                                               void *user);

// The log phase: tells at most one event of each filter as JSON (form v1). `tell_to` may be NULL where
// nobody wants it, `outcome` may not. The transaction still has to be freed.
smesec_status smesec_transaction_finish(smesec_transaction *transaction,
                                        const smesec_outcome *outcome,
                                        smesec_text_fn tell_to,
                                        void *user);

// As smesec_transaction_finish(), into a sink.
smesec_status smesec_transaction_finish_into(smesec_transaction *transaction,
                                             const smesec_outcome *outcome,
                                             const smesec_sink *sink);

// Frees a transaction, finished or not.
void smesec_transaction_free(smesec_transaction *transaction);

// A WAF over a rule set; `options` may be NULL for the defaults.
smesec_status smesec_waf_new(const smesec_ruleset *ruleset,
                             const smesec_waf_options *options,
                             smesec_waf **out);

// Another host over the same compiled rules, with a smesec_mode and exceptions of its own (not those of
// `waf`): kilobytes, and reloads reach both.
smesec_status smesec_waf_overlay(const smesec_waf *waf,
                                 uint32_t mode_number,
                                 const smesec_exception *exceptions,
                                 size_t count,
                                 smesec_waf **out);

// Puts other rules in force. What runs finishes on its own rules. `generation` may be NULL; it gets
// the new generation's number.
smesec_status smesec_waf_reload(const smesec_waf *waf,
                                const smesec_ruleset *ruleset,
                                uint64_t *generation);

// Frees a WAF; transactions that run keep what they need.
void smesec_waf_free(smesec_waf *waf);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SMESEC_H */
