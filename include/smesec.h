/* smesec: security engines that run inside the host's own process. The C face.
 *
 * Made by cbindgen from smesec-ffi/src; do not edit.
 *
 * Text and bytes are pointer and length (smesec_bytes); nothing needs to end in a zero byte. What
 * is handed in is read during the call only; what is handed to a callback is valid during that
 * callback only. A callback may not call back into the object that called it.
 *
 * Handles are opaque. A rule set, a WAF and a transaction are each freed once by their own `_free`;
 * freeing NULL does nothing. A transaction keeps what it needs: its WAF may be freed before it, and
 * a WAF keeps its rule set.
 *
 * Threads: a rule set and a WAF may be used by any number of threads at once. A builder and a
 * transaction are used by one thread at a time.
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

// A compiled rule set: immutable, for any number of threads and hosts.
typedef struct smesec_ruleset smesec_ruleset;

// Collects rules in the order in which they are to run.
typedef struct smesec_ruleset_builder smesec_ruleset_builder;

// One HTTP transaction. Steps in their order: request head, request body up to its last piece (an
// empty last piece where there is none), response head, response body, finish. Each answers with the
// verdict so far; a decisive verdict stays, and the response's steps are then allowed at once.
typedef struct smesec_transaction smesec_transaction;

// The web application firewall.
typedef struct smesec_waf smesec_waf;

// Bytes that somebody else owns; `data` may be null where `len` is 0.
typedef struct {
  // The first byte.
  const uint8_t *data;
  // How many.
  size_t len;
} smesec_bytes;

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
  // A smesec_action; 2 and above end the transaction.
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
} smesec_waf_options;

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

// Frees a rule set; a WAF over it keeps what it needs.
void smesec_ruleset_free(smesec_ruleset *ruleset);

// Begins a transaction under the rules now in force.
smesec_status smesec_transaction_begin(const smesec_waf *waf,
                                       const smesec_connection *connection,
                                       smesec_transaction **out);

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

// How many bytes of a body (`phase` 2 or 4) the host has to hold back until the verdict on its last
// piece: 0 where pieces may go on at once. `wanted` says whether the body has to be handed over at
// all; a body that is not wanted still ends with an empty last piece.
smesec_status smesec_transaction_wants(const smesec_transaction *transaction,
                                       uint32_t phase,
                                       bool *wanted,
                                       uint64_t *hold);

// Where a redirect leads, empty where there is none; valid until the transaction's next step.
smesec_bytes smesec_transaction_location(const smesec_transaction *transaction);

// How many findings there are so far, 0 for NULL and after `finish`.
size_t smesec_transaction_finding_count(const smesec_transaction *transaction);

// Tells the findings so far as one JSON array.
smesec_status smesec_transaction_findings_json(const smesec_transaction *transaction,
                                               smesec_text_fn tell_to,
                                               void *user);

// The log phase: tells at most one event as JSON (form v1). `tell_to` may be NULL where nobody wants it,
// `outcome` may not. The transaction still has to be freed.
smesec_status smesec_transaction_finish(smesec_transaction *transaction,
                                        const smesec_outcome *outcome,
                                        smesec_text_fn tell_to,
                                        void *user);

// Frees a transaction, finished or not.
void smesec_transaction_free(smesec_transaction *transaction);

// A WAF over a rule set; `options` may be NULL for the defaults.
smesec_status smesec_waf_new(const smesec_ruleset *ruleset,
                             const smesec_waf_options *options,
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
