/* The smesec module of nginx: what its files share.
 *
 *   ngx_http_smesec_module.c    directives, merging, the life of a cycle and of a worker
 *   ngx_http_smesec_rules.c     rule sets: collected, compiled once, shared
 *   ngx_http_smesec_request.c   head and body, the verdict, what becomes of it
 *   ngx_http_smesec_response.c  filters over the response
 *   ngx_http_smesec_log.c       the event, variables
 */
#ifndef NGX_HTTP_SMESEC_H
#define NGX_HTTP_SMESEC_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <smesec.h>

#if !(NGX_THREADS)
#error "smesec needs nginx built with --with-threads: long inspections may not block a worker"
#endif

extern ngx_module_t ngx_http_smesec_module;

/* `smesec` of a location. */
enum {
    NGX_HTTP_SMESEC_OFF = SMESEC_MODE_OFF,
    NGX_HTTP_SMESEC_ON = SMESEC_MODE_BLOCK,
    NGX_HTTP_SMESEC_DETECT = SMESEC_MODE_DETECT,
    NGX_HTTP_SMESEC_RULES = SMESEC_MODE_RULES
};

/* One directive that names rules, with its place for messages. */
typedef struct {
    enum { NGX_HTTP_SMESEC_FILE, NGX_HTTP_SMESEC_TEXT, NGX_HTTP_SMESEC_BUILTIN } kind;
    ngx_str_t value;
    ngx_str_t file;
    ngx_uint_t line;
} ngx_http_smesec_source_t;

/* Rules compiled once, in the master; each worker makes its firewall over them. */
typedef struct {
    ngx_array_t sources; /* of ngx_http_smesec_source_t, those of the parents first */
    ngx_uint_t paranoia;
    ngx_flag_t strict;
    smesec_ruleset *rules;
    smesec_waf *waf; /* this worker's */
} ngx_http_smesec_set_t;

/* A set with the mode and the exceptions of some location, shared by all that have the same. */
typedef struct {
    ngx_http_smesec_set_t *set;
    ngx_uint_t mode;
    ngx_array_t *exceptions; /* of smesec_exception */
    smesec_waf *waf;         /* this worker's */
} ngx_http_smesec_overlay_t;

typedef struct {
    ngx_array_t sets;       /* of ngx_http_smesec_set_t * */
    ngx_array_t overlays;   /* of ngx_http_smesec_overlay_t * */
    ngx_shm_zone_t *zone;   /* collections that all workers share */
    ngx_flag_t headers;     /* whether some log wants them */
    ngx_pool_t *pool;
} ngx_http_smesec_main_conf_t;

typedef struct {
    ngx_uint_t mode;
    ngx_array_t *sources;    /* of its own, of ngx_http_smesec_source_t */
    ngx_uint_t paranoia;
    ngx_flag_t strict;
    ngx_array_t *exceptions; /* its own, after merging with those of the parents */
    ngx_str_t decoy;         /* a URI or a named location, empty for none */
    ngx_open_file_t *log;    /* of events, NULL for none */
    ngx_flag_t log_set;
    ngx_flag_t log_modsecurity; /* in the form of ModSecurity's audit log */
    ngx_thread_pool_t *pool; /* for long bodies, NULL for none */
    ngx_flag_t pool_set;
    size_t long_body;        /* from how many bytes on a body is inspected in the pool */
    ngx_http_smesec_set_t *set;
    ngx_http_smesec_overlay_t *overlay;
} ngx_http_smesec_loc_conf_t;

/* A request's transaction; found again after internal redirects, which clear nginx's own contexts. */
typedef struct {
    smesec_transaction *transaction;
    ngx_http_smesec_loc_conf_t *conf;
    ngx_http_request_t *request;
    smesec_verdict verdict;
    smesec_status failed;        /* of a call that did not succeed */
    enum { NGX_HTTP_SMESEC_READING, NGX_HTTP_SMESEC_INSPECTING, NGX_HTTP_SMESEC_DECIDED } state;
    ngx_chain_t *body;           /* what is inspected in the pool */

    ngx_chain_t *held;           /* the response, until its verdict */
    ngx_chain_t **held_last;
    ngx_chain_t *late;           /* what came after that, its buffers not taken yet */
    uint64_t hold;               /* bytes that the rules look at */
    uint64_t seen;               /* bytes of the response's body so far */

    ngx_str_t action;            /* for variables and logs, after the log phase too */
    ngx_str_t rules;
    ngx_int_t score;

    unsigned acted : 1;          /* the verdict was carried out */
    unsigned watching : 1;       /* the response's body is inspected */
    unsigned holding : 1;        /* and its head is held back */
    unsigned answered : 1;       /* the response's head was seen */
    unsigned thinking : 1;       /* the response is judged in the pool */
    unsigned gone : 1;           /* nginx has given the request up */
    unsigned finished : 1;
} ngx_http_smesec_ctx_t;

/* rules */
char *ngx_http_smesec_rules_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_smesec_rules_inline(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_smesec_exception(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_smesec_attach(ngx_conf_t *cf, ngx_http_smesec_loc_conf_t *parent, ngx_http_smesec_loc_conf_t *conf);
ngx_int_t ngx_http_smesec_start_worker(ngx_cycle_t *cycle, ngx_http_smesec_main_conf_t *mcf);
ngx_int_t ngx_http_smesec_init_zone(ngx_shm_zone_t *zone, void *data);

/* request */
ngx_http_smesec_ctx_t *ngx_http_smesec_find(ngx_http_request_t *r);
ngx_int_t ngx_http_smesec_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_smesec_status(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx);
ngx_int_t ngx_http_smesec_failed(ngx_http_smesec_ctx_t *ctx, smesec_status status);

ngx_int_t ngx_http_smesec_post(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx,
                               void (*work)(void *data, ngx_log_t *log), ngx_event_handler_pt done);
ngx_uint_t ngx_http_smesec_still_running(ngx_http_smesec_ctx_t *ctx, ngx_event_t *event);

/* response */
#define NGX_HTTP_SMESEC_BUFFERED 0x08 /* of r->buffered; nginx's image filter has the same, and never stands beside */
void ngx_http_smesec_filters(void);

/* log */
smesec_status ngx_http_smesec_log_start(void);
ngx_int_t ngx_http_smesec_log_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_smesec_variables(ngx_conf_t *cf);
void ngx_http_smesec_tell(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx);

static ngx_inline smesec_bytes ngx_http_smesec_bytes(ngx_str_t text) {
    smesec_bytes bytes;
    bytes.data = text.data;
    bytes.len = text.len;
    return bytes;
}

static ngx_inline ngx_str_t ngx_http_smesec_str(smesec_bytes bytes) {
    ngx_str_t text;
    text.data = (u_char *)bytes.data;
    text.len = bytes.len;
    return text;
}

static ngx_inline ngx_uint_t ngx_http_smesec_stops(const smesec_verdict *verdict) {
    return verdict->action >= SMESEC_ACTION_DENY;
}

#endif
