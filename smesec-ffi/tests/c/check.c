/* A host in C: every function of the header, from four threads, with every mistake that C allows.
 * Run by tests/c_face.rs under AddressSanitizer and under valgrind. */
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
        fprintf(stderr, "check.c:%d: %s; last error: %.*s\n", line, what, (int)why.len,
                why.len ? (const char *)why.data : "");
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

static smesec_bytes bytes(const char *text) {
    smesec_bytes b;
    b.data = (const uint8_t *)text;
    b.len = strlen(text);
    return b;
}

static int contains(smesec_bytes haystack, const char *needle) {
    size_t n = strlen(needle);
    for (size_t at = 0; at + n <= haystack.len; at++) {
        if (memcmp(haystack.data + at, needle, n) == 0) return 1;
    }
    return 0;
}

struct text {
    char data[16384];
    size_t len;
    int calls;
};

static void keep(void *user, smesec_bytes text) {
    struct text *kept = user;
    kept->calls++;
    kept->len = text.len < sizeof kept->data ? text.len : sizeof kept->data;
    memcpy(kept->data, text.data, kept->len);
}

static smesec_bytes kept(const struct text *text) {
    smesec_bytes b;
    b.data = (const uint8_t *)text->data;
    b.len = text->len;
    return b;
}

static const char RULES[] =
    "SecRuleEngine On\n"
    "SecRequestBodyAccess On\n"
    "SecResponseBodyAccess On\n"
    "SecResponseBodyMimeType text/html\n"
    "SecRule ARGS_GET:q \"@rx (?i)union\\s+select\" \"id:1,phase:1,deny,status:403,msg:'SQL in q'\"\n"
    "SecRule ARGS_POST:note \"@contains evil\" \"id:2,phase:2,deny,status:406\"\n"
    "SecRule RESPONSE_BODY \"@contains secret\" \"id:3,phase:4,deny,status:500\"\n"
    "SecRule ARGS_GET:next \"@streq away\" \"id:4,phase:1,redirect:https://example.org/\"\n";

static smesec_ruleset *rules(const char *text, bool strict, smesec_status want) {
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *ruleset = NULL;
    EXPECT(smesec_ruleset_builder_new(&builder) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_strict(builder, strict) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_text(builder, bytes("check.conf"), bytes(text)) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_build(builder, &ruleset) == want);
    EXPECT((ruleset != NULL) == (want == SMESEC_STATUS_OK));
    smesec_ruleset_builder_free(builder);
    return ruleset;
}

static smesec_connection connection(void) {
    smesec_connection c;
    memset(&c, 0, sizeof c);
    c.size = sizeof c;
    c.client_address = bytes("192.0.2.1");
    c.client_port = 4711;
    c.server_address = bytes("2001:db8::1");
    c.server_port = 443;
    return c;
}

static smesec_status head(smesec_transaction *t, const char *method, const char *target, smesec_verdict *v) {
    smesec_header headers[2];
    smesec_request_head h;
    headers[0].name = bytes("Host");
    headers[0].value = bytes("shop.example");
    headers[1].name = bytes("Content-Type");
    headers[1].value = bytes("application/x-www-form-urlencoded");
    memset(&h, 0, sizeof h);
    h.size = sizeof h;
    h.method = bytes(method);
    h.target = bytes(target);
    h.version = bytes("HTTP/1.1");
    h.headers = headers;
    h.header_count = 2;
    return smesec_transaction_request_head(t, &h, v);
}

static smesec_status answer(smesec_transaction *t, smesec_verdict *v) {
    smesec_header type;
    smesec_response_head h;
    type.name = bytes("Content-Type");
    type.value = bytes("text/html");
    memset(&h, 0, sizeof h);
    h.size = sizeof h;
    h.version = bytes("HTTP/1.1");
    h.headers = &type;
    h.header_count = 1;
    h.status = 200;
    return smesec_transaction_response_head(t, &h, v);
}

static smesec_transaction *begin(const smesec_waf *waf) {
    smesec_connection c = connection();
    smesec_transaction *t = NULL;
    EXPECT(smesec_transaction_begin(waf, &c, &t) == SMESEC_STATUS_OK);
    return t;
}

static smesec_verdict verdict(void) {
    smesec_verdict v;
    memset(&v, 0, sizeof v);
    v.size = sizeof v;
    return v;
}

static void finish(smesec_transaction *t, uint16_t status, struct text *event) {
    smesec_outcome o;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.status = status;
    event->calls = 0;
    EXPECT(smesec_transaction_finish(t, &o, keep, event) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_finish(t, &o, keep, event) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(event->calls <= 1);
}

static void *visitor(void *user) {
    const smesec_waf *waf = user;
    struct text *event = malloc(sizeof *event);
    for (int n = 0; n < 25; n++) {
        smesec_verdict v = verdict();
        smesec_transaction *t = begin(waf);
        EXPECT(head(t, "GET", "/search?q=boots", &v) == SMESEC_STATUS_OK && v.action == SMESEC_ACTION_PASS);
        EXPECT(smesec_transaction_request_body(t, bytes(""), true, &v) == SMESEC_STATUS_OK);
        EXPECT(v.action == SMESEC_ACTION_PASS && v.status == 0);
        finish(t, 200, event);
        smesec_transaction_free(t);

        t = begin(waf);
        EXPECT(head(t, "GET", "/search?q=1+UNION++SELECT+2", &v) == SMESEC_STATUS_OK);
        EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 403);
        finish(t, 403, event);
        EXPECT(event->calls == 1 && contains(kept(event), "\"SQL in q\""));
        smesec_transaction_free(t);
    }
    free(event);
    return NULL;
}

static void threads(void) {
    pthread_t ids[4];
    smesec_waf *waf = NULL;
    smesec_ruleset *set = rules(RULES, true, SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_len(set) == 4);
    EXPECT(smesec_waf_new(set, NULL, &waf) == SMESEC_STATUS_OK);
    for (int n = 0; n < 4; n++) EXPECT(pthread_create(&ids[n], NULL, visitor, waf) == 0);
    for (uint64_t n = 2; n < 12; n++) {
        uint64_t generation = 0;
        EXPECT(smesec_waf_reload(waf, set, &generation) == SMESEC_STATUS_OK && generation == n);
    }
    smesec_ruleset_free(set); /* the WAF keeps what it needs */
    for (int n = 0; n < 4; n++) EXPECT(pthread_join(ids[n], NULL) == 0);
    smesec_waf_free(waf);
}

static void bodies(void) {
    static struct text text;
    smesec_waf *waf = NULL;
    smesec_ruleset *set = rules(RULES, true, SMESEC_STATUS_OK);
    smesec_verdict v = verdict();
    bool wanted = false;
    uint64_t hold = 0;
    EXPECT(smesec_waf_new(set, NULL, &waf) == SMESEC_STATUS_OK);

    /* An attack across the border of two pieces. */
    smesec_transaction *t = begin(waf);
    EXPECT(head(t, "POST", "/note", &v) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_wants(t, SMESEC_PHASE_REQUEST_BODY, &wanted, &hold) == SMESEC_STATUS_OK);
    EXPECT(wanted && hold > 0);
    EXPECT(smesec_transaction_request_body(t, bytes("note=ev"), false, &v) == SMESEC_STATUS_OK);
    EXPECT(v.action == SMESEC_ACTION_PASS);
    EXPECT(smesec_transaction_request_body(t, bytes("il"), true, &v) == SMESEC_STATUS_OK);
    EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 406);
    EXPECT(smesec_transaction_finding_count(t) == 1);
    EXPECT(smesec_transaction_findings_json(t, keep, &text) == SMESEC_STATUS_OK);
    EXPECT(contains(kept(&text), "ARGS_POST:note"));
    finish(t, 406, &text);
    EXPECT(text.calls == 1 && contains(kept(&text), "\"schema_version\":1"));
    smesec_transaction_free(t);

    /* The response; the WAF and the rules are gone before their transaction. */
    t = begin(waf);
    smesec_waf_free(waf);
    smesec_ruleset_free(set);
    EXPECT(head(t, "GET", "/", &v) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_request_body(t, bytes(""), true, &v) == SMESEC_STATUS_OK);
    EXPECT(answer(t, &v) == SMESEC_STATUS_OK && v.action == SMESEC_ACTION_PASS);
    EXPECT(smesec_transaction_response_body(t, bytes("<p>the sec"), false, &v) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_response_body(t, bytes("ret</p>"), true, &v) == SMESEC_STATUS_OK);
    EXPECT(v.action == SMESEC_ACTION_DENY && v.status == 500);
    finish(t, 500, &text);
    smesec_transaction_free(t);
}

static void modes_and_redirects(void) {
    static struct text text;
    smesec_waf_options options;
    smesec_waf *waf = NULL;
    smesec_ruleset *set = rules(RULES, true, SMESEC_STATUS_OK);
    smesec_verdict v = verdict();
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.mode = SMESEC_MODE_DETECT;
    EXPECT(smesec_waf_new(set, &options, &waf) == SMESEC_STATUS_OK);
    smesec_transaction *t = begin(waf);
    EXPECT(head(t, "GET", "/?q=union+select", &v) == SMESEC_STATUS_OK && v.action == SMESEC_ACTION_LOG);
    smesec_transaction_free(t); /* never finished */
    smesec_waf_free(waf);

    options.mode = SMESEC_MODE_RULES;
    options.on_block = SMESEC_ON_BLOCK_DECOY;
    EXPECT(smesec_waf_new(set, &options, &waf) == SMESEC_STATUS_OK);
    t = begin(waf);
    EXPECT(head(t, "GET", "/?q=union+select", &v) == SMESEC_STATUS_OK && v.action == SMESEC_ACTION_DECOY);
    smesec_transaction_free(t);
    smesec_waf_free(waf);

    EXPECT(smesec_waf_new(set, NULL, &waf) == SMESEC_STATUS_OK);
    t = begin(waf);
    EXPECT(smesec_transaction_location(t).len == 0);
    EXPECT(head(t, "GET", "/?next=away", &v) == SMESEC_STATUS_OK && v.action == SMESEC_ACTION_REDIRECT);
    EXPECT(v.status == 302 && contains(smesec_transaction_location(t), "https://example.org/"));
    finish(t, 302, &text);
    smesec_transaction_free(t);
    smesec_waf_free(waf);

    options.mode = 77;
    EXPECT(smesec_waf_new(set, &options, &waf) == SMESEC_STATUS_CONFIG);
    EXPECT(contains(smesec_last_error(), "77"));
    options.mode = 0;
    options.size = 4;
    EXPECT(smesec_waf_new(set, &options, &waf) == SMESEC_STATUS_CONFIG);
    smesec_ruleset_free(set);
}

static void broken_rules(void) {
    static struct text text;
    static const char BROKEN[] = "SecRule ARGS \"@contains x\" \"id:1,phase:1,deny\"\n"
                                 "SecRule ARGS \"@nonsense x\" \"id:2,phase:1,deny\"\n";
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *set = rules(BROKEN, true, SMESEC_STATUS_RULE);
    EXPECT(contains(smesec_last_error(), "check.conf:2:"));
    set = rules(BROKEN, false, SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_len(set) == 1);
    EXPECT(smesec_ruleset_report(set, keep, &text) == SMESEC_STATUS_OK);
    EXPECT(contains(kept(&text), "\"loaded\":1") && contains(kept(&text), "\"line\":2"));
    smesec_problem problem;
    memset(&problem, 0, sizeof problem);
    EXPECT(smesec_ruleset_problem(set, 0, &problem) == SMESEC_STATUS_CONFIG);
    problem.size = sizeof problem;
    EXPECT(sizeof(void *) != 8 || sizeof problem == 72);
    EXPECT(smesec_ruleset_problem_count(set) == 1 && smesec_ruleset_problem_count(NULL) == 0);
    EXPECT(smesec_ruleset_problem(set, 0, &problem) == SMESEC_STATUS_OK);
    EXPECT(contains(problem.file, "check.conf") && problem.line == 2 && !problem.degraded);
    EXPECT(smesec_ruleset_problem(set, 1, &problem) == SMESEC_STATUS_CONFIG);
    smesec_ruleset_free(set);

    EXPECT(smesec_ruleset_builder_new(&builder) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_paranoia(builder, 9) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_build(builder, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_build(builder, &set) == SMESEC_STATUS_CONFIG && set == NULL);
    EXPECT(smesec_ruleset_builder_build(builder, &set) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_ruleset_builder_builtin(builder) == SMESEC_STATUS_WRONG_PHASE);
    smesec_ruleset_builder_free(builder);

    EXPECT(smesec_ruleset_builder_new(&builder) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_builtin(builder) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_path(builder, bytes("/nonexistent/rules.conf")) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_strict(builder, true) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_build(builder, &set) == SMESEC_STATUS_RULE);
    smesec_ruleset_builder_free(builder);
}

static void mistakes(void) {
    static struct text text;
    static const uint8_t latin[] = {0xe9};
    smesec_bytes bad = {latin, 1};
    smesec_bytes nowhere = {NULL, 7};
    smesec_connection c = connection();
    smesec_outcome o;
    smesec_waf *waf = NULL;
    smesec_transaction *t = NULL;
    smesec_verdict v = verdict();
    bool wanted;
    uint64_t hold;
    smesec_ruleset *set = rules(RULES, true, SMESEC_STATUS_OK);
    smesec_ruleset_builder *builder = NULL;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;

    EXPECT(smesec_ruleset_builder_new(NULL) == SMESEC_STATUS_NULL);
    EXPECT(contains(smesec_last_error(), "null"));
    EXPECT(smesec_ruleset_builder_builtin(NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_paranoia(NULL, 1) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_strict(NULL, true) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_path(NULL, bytes("x")) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_text(NULL, bytes("x"), bytes("")) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_build(NULL, &set) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_builder_new(&builder) == SMESEC_STATUS_OK);
    EXPECT(smesec_ruleset_builder_path(builder, bad) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_ruleset_builder_text(builder, bytes("x"), nowhere) == SMESEC_STATUS_NULL);
    smesec_ruleset_builder_free(builder);
    EXPECT(smesec_ruleset_len(NULL) == 0);
    EXPECT(smesec_ruleset_report(NULL, keep, &text) == SMESEC_STATUS_NULL);
    EXPECT(smesec_ruleset_report(set, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_new(NULL, NULL, &waf) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_new(set, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_new(set, NULL, &waf) == SMESEC_STATUS_OK);
    EXPECT(smesec_waf_reload(NULL, set, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_reload(waf, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_waf_reload(waf, set, NULL) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_begin(NULL, &c, &t) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_begin(waf, NULL, &t) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_begin(waf, &c, NULL) == SMESEC_STATUS_NULL);
    c.client_address = bytes("somewhere");
    EXPECT(smesec_transaction_begin(waf, &c, &t) == SMESEC_STATUS_CONFIG);

    t = begin(waf);
    EXPECT(smesec_transaction_request_head(NULL, NULL, &v) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_request_head(t, NULL, &v) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_request_body(t, bytes("x"), true, &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(contains(smesec_last_error(), "request_body"));
    EXPECT(answer(t, &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(head(t, "GET", "/", NULL) == SMESEC_STATUS_NULL);
    v.size = 2;
    EXPECT(head(t, "GET", "/", &v) == SMESEC_STATUS_CONFIG);
    v.size = sizeof v;
    EXPECT(head(t, "GET", "/", &v) == SMESEC_STATUS_OK);
    EXPECT(head(t, "GET", "/", &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_transaction_request_body(t, nowhere, true, &v) == SMESEC_STATUS_NULL);
    EXPECT(answer(t, &v) == SMESEC_STATUS_WRONG_PHASE); /* the body's end is missing */
    EXPECT(smesec_transaction_request_body(t, bytes(""), true, &v) == SMESEC_STATUS_OK);
    EXPECT(smesec_transaction_response_body(t, bytes(""), true, &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_transaction_wants(NULL, 2, &wanted, &hold) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_wants(t, 2, NULL, &hold) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_wants(t, 9, &wanted, &hold) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_transaction_finding_count(NULL) == 0);
    EXPECT(smesec_transaction_findings_json(NULL, keep, &text) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_finish(NULL, &o, keep, &text) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_finish(t, NULL, keep, &text) == SMESEC_STATUS_NULL);
    EXPECT(smesec_transaction_finish(t, &o, NULL, NULL) == SMESEC_STATUS_OK);
    EXPECT(head(t, "GET", "/", &v) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_transaction_wants(t, 2, &wanted, &hold) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_transaction_location(NULL).len == 0);
    smesec_transaction_free(t);
    smesec_transaction_free(NULL);
    smesec_waf_free(waf);
    smesec_waf_free(NULL);
    smesec_ruleset_free(set);
    smesec_ruleset_free(NULL);
    smesec_ruleset_builder_free(NULL);
}

int main(void) {
    EXPECT(smesec_abi_version() == SMESEC_ABI);
    EXPECT(smesec_version().len >= 5);
    EXPECT(contains(smesec_status_text(SMESEC_STATUS_PANIC), "defect"));
    EXPECT(contains(smesec_status_text(4242), "unknown"));
    /* A change of these is a change of the ABI. */
    EXPECT(sizeof(smesec_bytes) == 2 * sizeof(void *));
    EXPECT(sizeof(void *) != 8 || (sizeof(smesec_verdict) == 24 && sizeof(smesec_header) == 32 &&
                                   sizeof(smesec_connection) == 56 && sizeof(smesec_request_head) == 80 &&
                                   sizeof(smesec_response_head) == 56 && sizeof(smesec_outcome) == 32 &&
                                   sizeof(smesec_waf_options) == 56));
    threads();
    bodies();
    modes_and_redirects();
    broken_rules();
    mistakes();
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
