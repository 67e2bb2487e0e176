/* What a host composes in C: filters, scanners, detectors and sinks of its own, work for its own threads,
 * overlays and stores; with every mistake that C allows. Run by tests/c_face.rs. */
#include "smesec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static int checks;

static void expect(int good, const char *what, int line) {
    __atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);
    if (!good) {
        smesec_bytes why = smesec_last_error();
        __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
        fprintf(stderr, "compose.c:%d: %s; last error: %.*s\n", line, what, (int)why.len,
                why.len ? (const char *)why.data : "");
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)
#define GOOD(call) EXPECT((call) == SMESEC_STATUS_OK)
#define EMPTY(name)              \
    memset(&name, 0, sizeof name); \
    name.size = sizeof name

static smesec_bytes bytes(const char *text) {
    smesec_bytes b;
    b.data = (const uint8_t *)text;
    b.len = strlen(text);
    return b;
}

static int is(smesec_bytes b, const char *text) {
    return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

struct text {
    char data[16384];
    int calls;
};

static void keep(void *user, smesec_bytes json) {
    struct text *kept = user;
    size_t len = json.len < sizeof kept->data - 1 ? json.len : sizeof kept->data - 1;
    memcpy(kept->data, json.data, len);
    kept->data[len] = 0;
    kept->calls++;
}

static smesec_waf *waf_of(const char *text, const smesec_waf_options *options) {
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *set = NULL;
    smesec_waf *waf = NULL;
    GOOD(smesec_ruleset_builder_new(&builder));
    GOOD(smesec_ruleset_builder_text(builder, bytes("compose.conf"), bytes(text)));
    GOOD(smesec_ruleset_builder_strict(builder, true));
    GOOD(smesec_ruleset_builder_build(builder, &set));
    smesec_ruleset_builder_free(builder);
    GOOD(smesec_waf_new(set, options, &waf));
    smesec_ruleset_free(set);
    return waf;
}

static smesec_connection connection(void) {
    smesec_connection c;
    EMPTY(c);
    c.client_address = bytes("192.0.2.1");
    c.server_address = bytes("192.0.2.2");
    return c;
}

static smesec_transaction *begin(const smesec_filter *filter) {
    smesec_connection c = connection();
    smesec_transaction *t = NULL;
    GOOD(smesec_filter_begin(filter, &c, &t));
    return t;
}

static smesec_status get(smesec_transaction *t, const char *target, smesec_verdict *v) {
    smesec_request_head h;
    EMPTY(h);
    h.method = bytes("GET");
    h.target = bytes(target);
    h.version = bytes("HTTP/1.1");
    return smesec_transaction_request_head(t, &h, v);
}

/* --- a filter: counts its states; long work decides over paths that begin with /long -------------- */

static int states, freed_filters, worked;

struct state {
    char path[64];
    int finished;
};

static void *filter_begin(void *user, const smesec_connection *c) {
    EXPECT(user == &states && is(c->client_address, "192.0.2.1"));
    __atomic_add_fetch(&states, 1, __ATOMIC_RELAXED);
    return calloc(1, sizeof(struct state));
}

static bool filter_wants(void *state, uint32_t phase, uint64_t *hold) {
    EXPECT(state != NULL);
    *hold = phase == SMESEC_PHASE_REQUEST_BODY ? 4096 : 0;
    return phase == SMESEC_PHASE_REQUEST_BODY;
}

static void filter_head(void *user, const smesec_request_head *head, smesec_findings *findings, smesec_verdict *v) {
    struct state *state = user;
    size_t len = head->target.len < sizeof state->path - 1 ? head->target.len : sizeof state->path - 1;
    memcpy(state->path, head->target.data, len);
    EXPECT(findings != NULL && v->action == SMESEC_ACTION_PASS);
    if (strcmp(state->path, "/away") == 0) v->action = SMESEC_ACTION_REDIRECT;
    if (strcmp(state->path, "/odd") == 0) v->action = 4711;
    if (strcmp(state->path, "/long-head") == 0) v->action = SMESEC_ACTION_PENDING;
}

static void filter_body(void *user, smesec_bytes chunk, bool last, smesec_findings *findings, smesec_verdict *v) {
    struct state *state = user;
    (void)chunk;
    (void)findings;
    if (last && strncmp(state->path, "/long", 5) == 0) v->action = SMESEC_ACTION_PENDING;
}

static void filter_work(void *user, smesec_findings *findings, smesec_verdict *v) {
    struct state *state = user;
    smesec_finding finding;
    __atomic_add_fetch(&worked, 1, __ATOMIC_RELAXED);
    if (strcmp(state->path, "/long-bad") != 0) return;
    EMPTY(finding);
    finding.rule_id = bytes("long");
    finding.message = bytes("looked up");
    finding.severity = 4;
    GOOD(smesec_findings_add(findings, &finding));
    finding.severity = 9;
    EXPECT(smesec_findings_add(findings, &finding) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_findings_add(findings, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_findings_add(NULL, &finding) == SMESEC_STATUS_NULL);
    v->action = SMESEC_ACTION_DENY;
    v->status = 451;
}

static smesec_bytes filter_location(void *state) {
    (void)state;
    return bytes("https://example.org/away");
}

static void filter_finish(void *user, const smesec_outcome *outcome) {
    struct state *state = user;
    EXPECT(outcome->status == 200 || outcome->status == 451);
    state->finished++;
}

static void filter_free_state(void *state) {
    __atomic_sub_fetch(&states, 1, __ATOMIC_RELAXED);
    free(state);
}

static void filter_free(void *user) {
    EXPECT(user == &states);
    freed_filters++;
}

static smesec_filter *own_filter(void) {
    smesec_filter_vtable table;
    smesec_filter *filter = NULL;
    EMPTY(table);
    table.begin = filter_begin;
    table.wants = filter_wants;
    table.request_head = filter_head;
    table.request_body = filter_body;
    table.work = filter_work;
    table.location = filter_location;
    table.finish = filter_finish;
    table.free_state = filter_free_state;
    table.free = filter_free;
    GOOD(smesec_filter_new(&table, &states, &filter));
    return filter;
}

static void *run(void *work) {
    GOOD(smesec_work_run(work));
    EXPECT(smesec_work_run(work) == SMESEC_STATUS_WRONG_PHASE);
    return NULL;
}

static void filters(void) {
    smesec_verdict v;
    smesec_finding finding;
    smesec_outcome outcome;
    smesec_work *work = NULL;
    pthread_t thread;
    bool wanted = false;
    uint64_t hold = 0;
    static struct text text;
    smesec_filter *filter = own_filter();
    EMPTY(v);
    EMPTY(finding);
    EMPTY(outcome);

    /* Work on a thread of the host's. */
    smesec_transaction *t = begin(filter);
    GOOD(smesec_transaction_defer(t, true));
    GOOD(get(t, "/long-bad", &v));
    GOOD(smesec_transaction_wants(t, SMESEC_PHASE_REQUEST_BODY, &wanted, &hold));
    EXPECT(wanted && hold == 4096);
    GOOD(smesec_transaction_take_work(t, &work));
    EXPECT(work == NULL);
    GOOD(smesec_transaction_request_body(t, bytes(""), true, &v));
    EXPECT(v.action == SMESEC_ACTION_PENDING);
    EXPECT(smesec_transaction_request_body(t, bytes(""), true, &v) == SMESEC_STATUS_WRONG_PHASE);
    GOOD(smesec_transaction_take_work(t, &work));
    EXPECT(work != NULL && smesec_transaction_resume(t, work, &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(pthread_create(&thread, NULL, run, work) == 0 && pthread_join(thread, NULL) == 0);

    /* What another's work came to is not for this one. */
    smesec_transaction *other = begin(filter);
    smesec_work *others = NULL;
    GOOD(smesec_transaction_defer(other, true));
    GOOD(get(other, "/long-bad", &v));
    GOOD(smesec_transaction_request_body(other, bytes(""), true, &v));
    GOOD(smesec_transaction_take_work(other, &others));
    GOOD(smesec_work_run(others));
    EXPECT(smesec_transaction_resume(t, others, &v) == SMESEC_STATUS_WRONG_PHASE);
    smesec_work_free(others);
    smesec_transaction_free(other);

    GOOD(smesec_transaction_resume(t, work, &v));
    EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 451);
    EXPECT(smesec_transaction_resume(t, work, &v) == SMESEC_STATUS_WRONG_PHASE);
    smesec_work_free(work);
    EXPECT(smesec_transaction_finding_count(t) == 1);
    GOOD(smesec_transaction_finding(t, 0, &finding));
    EXPECT(is(finding.rule_id, "long") && finding.severity == 4);
    EXPECT(smesec_transaction_finding(t, 1, &finding) == SMESEC_STATUS_CONFIG);
    outcome.status = 451;
    GOOD(smesec_transaction_finish(t, &outcome, keep, &text));
    EXPECT(text.calls == 1 && strstr(text.data, "\"detector\":\"host\"") && strstr(text.data, "looked up"));
    smesec_transaction_free(t);

    /* The same in place, and without a finding. */
    t = begin(filter);
    GOOD(get(t, "/long-good", &v));
    GOOD(smesec_transaction_request_body(t, bytes(""), true, &v));
    EXPECT(v.action == SMESEC_ACTION_PASS && worked == 3);
    outcome.status = 200;
    GOOD(smesec_transaction_finish(t, &outcome, keep, &text));
    EXPECT(text.calls == 1);
    smesec_transaction_free(t);

    /* Work that outlives its transaction, run and not run; its state goes last. */
    for (int runs = 0; runs < 2; runs++) {
        t = begin(filter);
        GOOD(smesec_transaction_defer(t, true));
        GOOD(get(t, "/long-head", &v));
        EXPECT(v.action == SMESEC_ACTION_PENDING);
        GOOD(smesec_transaction_take_work(t, &work));
        smesec_transaction_free(t);
        EXPECT(states == 1);
        if (runs) GOOD(smesec_work_run(work));
        smesec_work_free(work);
        EXPECT(states == 0);
    }

    t = begin(filter);
    GOOD(get(t, "/away", &v));
    EXPECT(v.action == SMESEC_ACTION_REDIRECT && v.status == 302);
    EXPECT(is(smesec_transaction_location(t), "https://example.org/away"));
    smesec_transaction_free(t);

    /* What nobody understands is closed. */
    t = begin(filter);
    GOOD(get(t, "/odd", &v));
    EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 500);
    smesec_transaction_free(t);

    /* A chain outlives its parts, a transaction its chain. */
    smesec_waf *waf = waf_of("SecRuleEngine On\nSecRule ARGS:q \"@contains attack\" \"id:1,phase:1,deny,msg:'q'\"\n", NULL);
    smesec_filter *parts[2] = {filter, NULL}, *chain = NULL;
    GOOD(smesec_filter_waf(waf, &parts[1]));
    smesec_waf_free(waf);
    GOOD(smesec_filter_chain((const smesec_filter *const *)parts, 2, &chain));
    smesec_filter_free(parts[0]);
    smesec_filter_free(parts[1]);
    EXPECT(freed_filters == 0);
    t = begin(chain);
    smesec_filter_free(chain);
    GOOD(get(t, "/?q=attack", &v));
    EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 403);
    smesec_transaction_free(t);
    EXPECT(states == 0 && freed_filters == 1);

    /* A filter without functions lets all pass. */
    smesec_filter_vtable table;
    EMPTY(table);
    GOOD(smesec_filter_new(&table, NULL, &filter));
    t = begin(filter);
    GOOD(get(t, "/odd", &v));
    EXPECT(v.action == SMESEC_ACTION_PASS);
    smesec_transaction_free(t);
    table.size = 8;
    EXPECT(smesec_filter_new(&table, NULL, &filter) == SMESEC_STATUS_CONFIG);
    smesec_filter_free(filter);
}

/* --- scanners ------------------------------------------------------------------------------------- */

static void scan(void *user, smesec_bytes name, smesec_bytes data, smesec_findings *findings) {
    smesec_finding finding;
    ++*(int *)user;
    EMPTY(finding);
    finding.rule_id = bytes("bad");
    finding.part = name;
    if (is(data, "bad")) GOOD(smesec_findings_add(findings, &finding));
    if (is(data, "locked")) GOOD(smesec_findings_skip(findings, name, bytes("encrypted")));
}

static void scanners(void) {
    static struct text text;
    smesec_scanner_vtable table;
    smesec_scanner *scanner = NULL;
    uint32_t outcome = 9;
    int scans = 0;
    EMPTY(table);
    EXPECT(smesec_scanner_new(&table, &scans, &scanner) == SMESEC_STATUS_NULL);
    table.scan = scan;
    GOOD(smesec_scanner_new(&table, &scans, &scanner));
    GOOD(smesec_scanner_scan(scanner, bytes("a.txt"), bytes("good"), &outcome, NULL, NULL));
    EXPECT(outcome == SMESEC_SCAN_OUTCOME_CLEAN);
    GOOD(smesec_scanner_scan(scanner, bytes("a.txt"), bytes("bad"), &outcome, keep, &text));
    EXPECT(outcome == SMESEC_SCAN_OUTCOME_DETECTED && strstr(text.data, "\"outcome\":\"detected\""));
    GOOD(smesec_scanner_scan(scanner, bytes("a.zip"), bytes("locked"), &outcome, keep, &text));
    EXPECT(outcome == SMESEC_SCAN_OUTCOME_INCOMPLETE && strstr(text.data, "encrypted"));
    EXPECT(scans == 3);
    GOOD(smesec_scanner_scan_file(scanner, bytes("/nonexistent"), &outcome, keep, &text));
    EXPECT(outcome == SMESEC_SCAN_OUTCOME_INCOMPLETE && scans == 3);
    GOOD(smesec_scanner_scan_file(scanner, bytes("/dev/zero"), &outcome, keep, &text));
    EXPECT(outcome == SMESEC_SCAN_OUTCOME_INCOMPLETE && strstr(text.data, "67108864"));
    EXPECT(smesec_scanner_scan(NULL, bytes("a"), bytes("b"), &outcome, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_scanner_scan(scanner, bytes("a"), bytes("b"), NULL, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_filter_scanning(NULL, scanner, 0, NULL) == SMESEC_STATUS_NULL);
    smesec_scanner_free(scanner);
    smesec_scanner_free(NULL);
}

/* --- an intake: counts the bytes of each object, and knows a bad one by its name -------------------- */

static int objects, freed_intakes;

struct object {
    char name[32];
    size_t len;
    bool complete;
};

static void *intake_open(void *user, const smesec_object *seen) {
    struct object *object = calloc(1, sizeof *object);
    EXPECT(user == &objects && seen->size == sizeof *seen && is(seen->field, "f"));
    EXPECT(is(seen->content_type, "image/jpeg"));
    memcpy(object->name, seen->name.data, seen->name.len < 31 ? seen->name.len : 31);
    objects++;
    return object;
}

static void intake_data(void *state, smesec_bytes bytes) { ((struct object *)state)->len += bytes.len; }

static bool intake_close(void *state, bool complete) {
    ((struct object *)state)->complete = complete;
    return true;
}

static void intake_scan(void *state, smesec_findings *findings) {
    const struct object *object = state;
    smesec_finding finding;
    EMPTY(finding);
    finding.message = bytes(object->name);
    EXPECT(object->complete && object->len == 5);
    if (strcmp(object->name, "bad.jpg") == 0) GOOD(smesec_findings_add(findings, &finding));
}

static void intake_free_state(void *state) {
    objects--;
    free(state);
}

static void intake_free(void *user) {
    EXPECT(user == &objects);
    freed_intakes++;
}

static uint32_t upload(const smesec_filter *filter, const char *name) {
    char body[256];
    smesec_verdict v;
    smesec_request_head h;
    smesec_header header = {bytes("Content-Type"), bytes("multipart/form-data; boundary=b")};
    smesec_transaction *t = begin(filter);
    EMPTY(v);
    EMPTY(h);
    h.method = bytes("POST");
    h.target = bytes("/");
    h.version = bytes("HTTP/1.1");
    h.headers = &header;
    h.header_count = 1;
    snprintf(body, sizeof body,
             "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"%s\"\r\n"
             "Content-Type: image/jpeg\r\n\r\nhello\r\n--b--\r\n",
             name);
    GOOD(smesec_transaction_request_head(t, &h, &v));
    GOOD(smesec_transaction_request_body(t, bytes(body), true, &v));
    smesec_transaction_free(t);
    return v.action;
}

static void intakes(void) {
    smesec_intake_vtable table;
    smesec_filter *waf = NULL, *filter = NULL;
    smesec_waf *inner = waf_of("SecRuleEngine On\nSecRequestBodyAccess On\n", NULL);
    EMPTY(table);
    GOOD(smesec_filter_waf(inner, &waf));
    EXPECT(smesec_filter_intake(waf, &table, NULL, &filter) == SMESEC_STATUS_NULL);
    table.open = intake_open;
    table.data = intake_data;
    table.close = intake_close;
    table.scan = intake_scan;
    table.free_state = intake_free_state;
    table.free = intake_free;
    EXPECT(smesec_filter_intake(NULL, &table, NULL, &filter) == SMESEC_STATUS_NULL);
    GOOD(smesec_filter_intake(waf, &table, &objects, &filter));
    smesec_filter_free(waf);
    smesec_waf_free(inner);
    EXPECT(upload(filter, "good.jpg") == SMESEC_ACTION_PASS);
    EXPECT(upload(filter, "bad.jpg") == SMESEC_ACTION_DENY);
    EXPECT(objects == 0 && freed_intakes == 0);
    smesec_filter_free(filter);
    EXPECT(freed_intakes == 1);
}

/* --- events, sinks, detectors ---------------------------------------------------------------------- */

static int accepted, freed_sinks;

static void accept_event(void *user, const smesec_event *event) {
    (void)event;
    EXPECT(user == &accepted);
    __atomic_add_fetch(&accepted, 1, __ATOMIC_RELAXED);
}

static void free_sink(void *user) {
    EXPECT(user == &accepted);
    freed_sinks++;
}

static smesec_event *event_of(const char *message) {
    smesec_event_fields fields;
    smesec_event *event = NULL;
    EMPTY(fields);
    fields.message = bytes(message);
    fields.user = bytes("alice");
    fields.id_seed = 7;
    fields.id_counter = 8;
    fields.unix_nanos = 9;
    fields.severity = 3;
    GOOD(smesec_event_new(&fields, &event));
    return event;
}

static void *emits(void *sink) {
    smesec_event *event = event_of("from a thread");
    for (int n = 0; n < 50; n++) GOOD(smesec_sink_accept(sink, event));
    smesec_event_free(event);
    return NULL;
}

static int ticks;

/* Raises what it sees: behind a tee into itself this would run for ever, were there no generations. */
static void echo(void *user, const smesec_event *event, const smesec_sink *raised) {
    (void)user;
    GOOD(smesec_sink_accept(raised, event));
}

static void tick(void *user, int64_t unix_nanos, const smesec_sink *raised) {
    (void)user;
    (void)raised;
    EXPECT(unix_nanos == 1000);
    ticks++;
}

static void sinks(void) {
    static struct text text;
    smesec_sink_vtable table;
    smesec_detector_vtable detector;
    smesec_sink *own = NULL, *queue = NULL, *tee = NULL, *echoes = NULL;
    smesec_event_fields fields;
    smesec_finding finding;
    pthread_t ids[4];
    EMPTY(table);
    EMPTY(detector);
    EMPTY(fields);
    EMPTY(finding);
    EXPECT(smesec_sink_new(&table, &accepted, &own) == SMESEC_STATUS_NULL && freed_sinks == 0);
    table.accept = accept_event;
    table.free = free_sink;
    GOOD(smesec_sink_new(&table, &accepted, &own));
    GOOD(smesec_sink_queue(150, &queue));
    smesec_sink *both[2] = {own, queue};
    GOOD(smesec_sink_tee((const smesec_sink *const *)both, 2, &tee));
    for (int n = 0; n < 4; n++) EXPECT(pthread_create(&ids[n], NULL, emits, tee) == 0);
    for (int n = 0; n < 4; n++) EXPECT(pthread_join(ids[n], NULL) == 0);
    EXPECT(accepted == 200 && smesec_sink_dropped(queue) == 50);
    GOOD(smesec_sink_drain(queue, 0, own));
    EXPECT(accepted == 350);
    EXPECT(smesec_sink_drain(tee, 0, own) == SMESEC_STATUS_CONFIG);

    smesec_event *event = event_of("one");
    GOOD(smesec_event_fields_of(event, &fields));
    EXPECT(is(fields.message, "one") && is(fields.user, "alice") && fields.device.len == 0);
    EXPECT(fields.id_seed == 7 && fields.id_counter == 8 && fields.unix_nanos == 9 && fields.severity == 3);
    finding.rule_id = bytes("r");
    GOOD(smesec_event_add_finding(event, &finding));
    EXPECT(smesec_event_finding_count(event) == 1);
    GOOD(smesec_event_finding(event, 0, &finding));
    EXPECT(is(finding.rule_id, "r") && finding.severity == 1);
    EXPECT(smesec_event_finding(event, 1, &finding) == SMESEC_STATUS_CONFIG);
    GOOD(smesec_event_json(event, keep, &text));
    EXPECT(strstr(text.data, "\"user\":\"alice\"") && strstr(text.data, "\"schema_version\":1"));
    EXPECT(smesec_event_json(event, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_event_modsecurity_json(event, NULL, keep, &text) == SMESEC_STATUS_NULL);
    smesec_event_free(event);
    EXPECT(smesec_event_new(NULL, &event) == SMESEC_STATUS_NULL);
    fields.action = SMESEC_ACTION_PENDING;
    EXPECT(smesec_event_new(&fields, &event) == SMESEC_STATUS_CONFIG);

    /* A detector that feeds itself comes to rest. */
    detector.observe = echo;
    detector.advance = tick;
    GOOD(smesec_sink_detector(&detector, NULL, 10, &echoes));
    event = event_of("echo");
    GOOD(smesec_sink_accept(echoes, event));
    smesec_event_free(event);
    for (int n = 0; n < 10; n++) GOOD(smesec_sink_drain(echoes, 1000, echoes));
    EXPECT(ticks == 10 && smesec_sink_dropped(echoes) == 1);

    /* All that it raises arrives, however much waited. */
    smesec_sink *many = NULL;
    int before = accepted;
    GOOD(smesec_sink_detector(&detector, NULL, 12000, &many));
    event = event_of("echo");
    for (int n = 0; n < 12000; n++) GOOD(smesec_sink_accept(many, event));
    smesec_event_free(event);
    GOOD(smesec_sink_drain(many, 1000, own));
    EXPECT(accepted == before + 12000 && smesec_sink_dropped(many) == 0);
    smesec_sink_free(many);

    smesec_sink_free(own);
    smesec_sink_free(queue);
    EXPECT(freed_sinks == 0);
    smesec_sink_free(tee);
    EXPECT(freed_sinks == 1);
    smesec_sink_free(echoes);
    EXPECT(smesec_sink_accept(NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_sink_tee(NULL, 2, &tee) == SMESEC_STATUS_NULL);
    smesec_sink_free(NULL);
    smesec_event_free(NULL);
}

/* --- overlays and stores ---------------------------------------------------------------------------- */

static uint32_t action_of(const smesec_waf *waf, const char *target, int64_t now) {
    smesec_connection c = connection();
    smesec_transaction *t = NULL;
    smesec_request_head h;
    smesec_verdict v;
    EMPTY(h);
    EMPTY(v);
    c.unix_nanos = now;
    h.unix_nanos = now;
    h.method = bytes("GET");
    h.target = bytes(target);
    h.version = bytes("HTTP/1.1");
    GOOD(smesec_transaction_begin(waf, &c, &t));
    GOOD(smesec_transaction_request_head(t, &h, &v));
    smesec_transaction_free(t);
    return v.action;
}

static void overlays(void) {
    smesec_exception exception;
    smesec_waf *overlay = NULL;
    smesec_waf *waf = waf_of("SecRuleEngine On\nSecRule ARGS \"@contains attack\" \"id:10,phase:1,deny,tag:t\"\n", NULL);
    EMPTY(exception);
    exception.first_rule = 10;
    exception.target = bytes("ARGS:q");
    exception.path_prefix = bytes("/forum");
    exception.expires_unix_nanos = 1000;
    exception.reason = bytes("people discuss attacks there");
    GOOD(smesec_waf_overlay(waf, SMESEC_MODE_RULES, &exception, 1, &overlay));
    EXPECT(action_of(waf, "/forum?q=attack", 1) == SMESEC_ACTION_DENY);
    EXPECT(action_of(overlay, "/forum?q=attack", 1) == SMESEC_ACTION_PASS);
    EXPECT(action_of(overlay, "/forum?p=attack", 1) == SMESEC_ACTION_DENY);
    EXPECT(action_of(overlay, "/shop?q=attack", 1) == SMESEC_ACTION_DENY);
    EXPECT(action_of(overlay, "/forum?q=attack", 1000) == SMESEC_ACTION_DENY);
    smesec_waf_free(overlay);
    GOOD(smesec_waf_overlay(waf, SMESEC_MODE_DETECT, NULL, 0, &overlay));
    EXPECT(action_of(overlay, "/shop?q=attack", 1) == SMESEC_ACTION_LOG);
    smesec_waf_free(overlay);
    exception.last_rule = 3;
    EXPECT(smesec_waf_overlay(waf, 0, &exception, 1, &overlay) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_waf_overlay(waf, 77, NULL, 0, &overlay) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_waf_overlay(waf, 0, NULL, 1, &overlay) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_overlay(NULL, 0, NULL, 0, &overlay) == SMESEC_STATUS_NULL);
    smesec_waf_free(waf);
}

static void stores(void) {
    static const char COUNTS[] = "SecRuleEngine On\n"
                                 "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\n"
                                 "SecRule IP:n \"@gt 2\" \"id:2,phase:1,deny,status:429\"\n";
    static uint64_t region[1 << 15];
    smesec_waf_options options;
    smesec_store *store = NULL;
    EMPTY(options);
    EXPECT(smesec_store_anonymous(10, &store) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_store_region(NULL, 1 << 20, &store) == SMESEC_STATUS_NULL);
    GOOD(smesec_store_memory(&store));
    smesec_store_free(store);
    GOOD(smesec_store_anonymous(1 << 20, &store));
    smesec_store_free(store);
    GOOD(smesec_store_region(region, sizeof region, &store));
    options.store = store;
    smesec_waf *one = waf_of(COUNTS, &options), *other = waf_of(COUNTS, &options);
    smesec_store_free(store);
    EXPECT(action_of(one, "/", 1) == SMESEC_ACTION_PASS);
    EXPECT(action_of(other, "/", 1) == SMESEC_ACTION_PASS);
    EXPECT(action_of(one, "/", 1) == SMESEC_ACTION_DENY);
    smesec_waf_free(one);
    smesec_waf_free(other);
    smesec_store_free(NULL);
}

static void mistakes(void) {
    smesec_filter *filter = NULL;
    smesec_connection c = connection();
    EXPECT(smesec_filter_new(NULL, NULL, &filter) == SMESEC_STATUS_NULL);
    EXPECT(smesec_filter_waf(NULL, &filter) == SMESEC_STATUS_NULL);
    EXPECT(smesec_filter_chain(NULL, 1, &filter) == SMESEC_STATUS_NULL);
    EXPECT(smesec_filter_begin(NULL, &c, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_defer(NULL, true) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_take_work(NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_resume(NULL, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_finding(NULL, 0, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_finish_into(NULL, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_work_run(NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_findings_skip(NULL, bytes(""), bytes("")) == SMESEC_STATUS_NULL);
    smesec_work_free(NULL);
    smesec_filter_free(NULL);
}

int main(void) {
    /* A change of these is a change of the ABI. */
    EXPECT(sizeof(void *) != 8 ||
           (sizeof(smesec_filter_vtable) == 104 && sizeof(smesec_scanner_vtable) == 32 &&
            sizeof(smesec_sink_vtable) == 24 && sizeof(smesec_detector_vtable) == 32 &&
            sizeof(smesec_finding) == 96 && sizeof(smesec_object) == 56 && sizeof(smesec_intake_vtable) == 56 && sizeof(smesec_event_fields) == 120 && sizeof(smesec_exception) == 96));
    filters();
    scanners();
    intakes();
    sinks();
    overlays();
    stores();
    mistakes();
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
