/* The request: its head, its body, the verdict, and what becomes of it.
 *
 * All of it happens in the rewrite phase of the first location that has smesec on. The body is read whole before
 * anything goes on: a verdict on a part of it would be none. A long one is inspected in nginx's thread
 * pool, from memory and from the file that nginx spilled it to. */
#include "ngx_http_smesec.h"

#define NGX_HTTP_SMESEC_MINUTE 60000

static void ngx_http_smesec_body_read(ngx_http_request_t *r);

static void ngx_http_smesec_cleanup(void *data) {
    ngx_http_smesec_ctx_t *ctx = data;
    smesec_transaction_free(ctx->transaction);
    ctx->transaction = NULL;
}

/* nginx clears its contexts on an internal redirect; the pool's cleanup still knows ours. */
ngx_http_smesec_ctx_t *ngx_http_smesec_find(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_smesec_module);
    ngx_pool_cleanup_t *cleanup;
    if (ctx != NULL || r != r->main) {
        return ctx;
    }
    for (cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next) {
        if (cleanup->handler == ngx_http_smesec_cleanup) {
            ctx = cleanup->data;
            ngx_http_set_ctx(r, ctx, ngx_http_smesec_module);
            return ctx;
        }
    }
    return NULL;
}

/* Nothing that was not inspected passes: the verdict is a refusal of our own. */
ngx_int_t ngx_http_smesec_failed(ngx_http_smesec_ctx_t *ctx, smesec_status status) {
    if (status == SMESEC_STATUS_OK) {
        return NGX_OK;
    }
    ctx->failed = status;
    ctx->verdict.action = SMESEC_ACTION_DENY;
    ctx->verdict.status = NGX_HTTP_INTERNAL_SERVER_ERROR;
    return NGX_ERROR;
}

static smesec_status ngx_http_smesec_begin(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    static ngx_str_t nowhere = ngx_string("127.0.0.1");
    ngx_connection_t *c = r->connection;
    u_char text[NGX_SOCKADDR_STRLEN];
    ngx_str_t server;
    smesec_connection connection;

    ngx_memzero(&connection, sizeof connection);
    connection.size = sizeof connection;
    /* A UNIX socket has no address; rules want one. */
    connection.client_address = ngx_http_smesec_bytes(c->sockaddr->sa_family == AF_UNIX ? nowhere : c->addr_text);
    connection.client_port = ngx_inet_get_port(c->sockaddr);
    server.data = text;
    server.len = sizeof text;
    if (ngx_connection_local_sockaddr(c, &server, 0) != NGX_OK || c->local_sockaddr->sa_family == AF_UNIX) {
        server = nowhere;
    } else {
        connection.server_port = ngx_inet_get_port(c->local_sockaddr);
    }
    connection.server_address = ngx_http_smesec_bytes(server);
    return smesec_transaction_begin(ctx->conf->overlay->waf, &connection, &ctx->transaction);
}

static smesec_status ngx_http_smesec_head(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ngx_list_part_t *part;
    ngx_table_elt_t *header;
    smesec_request_head head;
    smesec_header *headers;
    ngx_uint_t n, count = 0;

    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        count += part->nelts;
    }
    headers = ngx_palloc(r->pool, (count + 1) * sizeof *headers);
    if (headers == NULL) {
        return SMESEC_STATUS_LIMIT;
    }
    count = 0;
    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        header = part->elts;
        for (n = 0; n < part->nelts; n++) {
            if (header[n].hash != 0) {
                headers[count].name = ngx_http_smesec_bytes(header[n].key);
                headers[count].value = ngx_http_smesec_bytes(header[n].value);
                count++;
            }
        }
    }
    ngx_memzero(&head, sizeof head);
    head.size = sizeof head;
    head.method = ngx_http_smesec_bytes(r->method_name);
    head.target = ngx_http_smesec_bytes(r->unparsed_uri);
    head.version = ngx_http_smesec_bytes(r->http_protocol);
    head.headers = headers;
    head.header_count = count;
    return smesec_transaction_request_head(ctx->transaction, &head, &ctx->verdict);
}

static ngx_uint_t ngx_http_smesec_piece(ngx_http_smesec_ctx_t *ctx, u_char *from, size_t len, bool last) {
    ngx_str_t piece = {len, from};
    smesec_status status =
        smesec_transaction_request_body(ctx->transaction, ngx_http_smesec_bytes(piece), last, &ctx->verdict);
    return ngx_http_smesec_failed(ctx, status) == NGX_OK && !ngx_http_smesec_stops(&ctx->verdict);
}

/* Inspects the whole body. Runs in the pool too: touches nothing but the context and the chain. */
static void ngx_http_smesec_inspect(void *data, ngx_log_t *log) {
    ngx_http_smesec_ctx_t *ctx = *(ngx_http_smesec_ctx_t **)data;
    u_char piece[16384];
    ngx_chain_t *link;
    ngx_buf_t *b;
    off_t at;
    ssize_t n;
    size_t left;

    for (link = ctx->body; link != NULL; link = link->next) {
        b = link->buf;
        if (ngx_buf_in_memory(b)) {
            if (!ngx_http_smesec_piece(ctx, b->pos, (size_t)(b->last - b->pos), false)) {
                return;
            }
            continue;
        }
        for (at = b->file_pos; b->in_file && at < b->file_last; at += n) {
            left = (size_t)ngx_min((off_t)sizeof piece, b->file_last - at);
            n = pread(b->file->fd, piece, left, at);
            if (n < 0 && ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }
            if (n <= 0) {
                (void)ngx_http_smesec_failed(ctx, SMESEC_STATUS_IO);
                return;
            }
            if (!ngx_http_smesec_piece(ctx, piece, (size_t)n, false)) {
                return;
            }
        }
    }
    (void)ngx_http_smesec_piece(ctx, NULL, 0, true);
}

/* Hands work to the pool of the location; NGX_DECLINED where there is none, or its queue is full. */
ngx_int_t ngx_http_smesec_post(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx,
                               void (*work)(void *data, ngx_log_t *log), ngx_event_handler_pt done) {
    ngx_thread_task_t *task;
    if (ctx->conf->pool == NULL) {
        return NGX_DECLINED;
    }
    task = ngx_thread_task_alloc(r->pool, sizeof ctx);
    if (task == NULL) {
        return NGX_DECLINED;
    }
    *(ngx_http_smesec_ctx_t **)task->ctx = ctx;
    task->handler = work;
    task->event.handler = done;
    task->event.data = ctx;
    task->event.log = r->connection->log;
    if (ngx_thread_task_post(ctx->conf->pool, task) != NGX_OK) {
        return NGX_DECLINED;
    }
    /* A worker that shuts down stays while a timer runs; without one it would leave the request. */
    ngx_add_timer(&task->event, NGX_HTTP_SMESEC_MINUTE);
    r->main->blocked++;
    r->aio = 1;
    return NGX_OK;
}

/* What an event of a task means: the pool is done, unless only its minute has passed. */
ngx_uint_t ngx_http_smesec_still_running(ngx_http_smesec_ctx_t *ctx, ngx_event_t *event) {
    ngx_http_request_t *r = ctx->request;
    ngx_http_set_log_request(r->connection->log, r);
    if (event->timedout) {
        event->timedout = 0;
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0, "smesec: an inspection has taken a minute");
        ngx_add_timer(event, NGX_HTTP_SMESEC_MINUTE);
        return 1;
    }
    if (event->timer_set) {
        ngx_del_timer(event);
    }
    r->main->blocked--;
    r->aio = 0;
    return 0;
}

/* Back in the worker. */
static void ngx_http_smesec_inspected(ngx_event_t *event) {
    ngx_http_smesec_ctx_t *ctx = event->data;
    ngx_http_request_t *r = ctx->request;
    ngx_connection_t *c = r->connection;

    if (ngx_http_smesec_still_running(ctx, event)) {
        return;
    }
    ctx->state = NGX_HTTP_SMESEC_DECIDED;
    if (r->done) {
        c->write->handler(c->write);
    } else {
        r->write_event_handler(r);
        ngx_http_run_posted_requests(c);
    }
}

/* The body is here: in memory, in a file, or in both. */
static void ngx_http_smesec_body_read(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx = ngx_http_smesec_find(r);
    ngx_chain_t *link;
    off_t size = 0;

    r->preserve_body = 1;
    r->write_event_handler = ngx_http_core_run_phases;
    if (ctx == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    ctx->body = r->request_body == NULL ? NULL : r->request_body->bufs;
    for (link = ctx->body; link != NULL; link = link->next) {
        size += ngx_buf_size(link->buf);
    }
    ctx->state = NGX_HTTP_SMESEC_INSPECTING;
    if (size >= (off_t)ctx->conf->long_body &&
        ngx_http_smesec_post(r, ctx, ngx_http_smesec_inspect, ngx_http_smesec_inspected) == NGX_OK) {
        return;
    }
    /* No pool, or too much in it: better late than not at all. */
    ngx_http_smesec_inspect(&ctx, r->connection->log);
    ctx->state = NGX_HTTP_SMESEC_DECIDED;
    ngx_http_core_run_phases(r);
}

static ngx_int_t ngx_http_smesec_redirect(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ngx_str_t location = ngx_http_smesec_str(smesec_transaction_location(ctx->transaction));
    ngx_table_elt_t *header;
    u_char *copy = ngx_pnalloc(r->pool, location.len);
    size_t n;
    if (copy == NULL || location.len == 0) {
        return NGX_HTTP_FORBIDDEN;
    }
    ngx_memcpy(copy, location.data, location.len);
    for (n = 0; n < location.len; n++) {
        /* A rule may have put what the client sent into it. */
        if (copy[n] < 0x20 || copy[n] == 0x7f) {
            return NGX_HTTP_FORBIDDEN;
        }
    }
    ngx_http_clear_location(r);
    header = ngx_list_push(&r->headers_out.headers);
    if (header == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_memzero(header, sizeof *header);
    header->hash = 1;
    ngx_str_set(&header->key, "Location");
    header->value.data = copy;
    header->value.len = location.len;
    r->headers_out.location = header;
    return ctx->verdict.status;
}

/* The status that nginx is to answer with, by the verdict. */
ngx_int_t ngx_http_smesec_status(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    switch (ctx->verdict.action) {
    case SMESEC_ACTION_REDIRECT:
        return ngx_http_smesec_redirect(r, ctx);
    case SMESEC_ACTION_DROP:
    case SMESEC_ACTION_REJECT:
        return NGX_HTTP_CLOSE;
    case SMESEC_ACTION_DENY:
        /* nginx takes what is under 300 for a result of its own. */
        return ctx->verdict.status >= NGX_HTTP_SPECIAL_RESPONSE && ctx->verdict.status < 600 ? ctx->verdict.status
                                                                                             : NGX_HTTP_FORBIDDEN;
    default:
        return NGX_HTTP_FORBIDDEN;
    }
}

/* Carries out a verdict, once. */
static ngx_int_t ngx_http_smesec_act(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ngx_str_t uri, args;
    ngx_uint_t flags = NGX_HTTP_LOG_UNSAFE;

    if (ctx->acted || !ngx_http_smesec_stops(&ctx->verdict)) {
        return NGX_DECLINED;
    }
    ctx->acted = 1;
    ngx_http_smesec_tell(r, ctx);
    uri = ctx->conf->decoy;
    if (uri.len == 0 || ctx->failed != SMESEC_STATUS_OK ||
        (ctx->verdict.action != SMESEC_ACTION_DENY && ctx->verdict.action != SMESEC_ACTION_DECOY)) {
        return ngx_http_smesec_status(r, ctx);
    }
    if (uri.data[0] == '@') {
        (void)ngx_http_named_location(r, &uri);
    } else {
        ngx_str_null(&args);
        if (ngx_http_parse_unsafe_uri(r, &uri, &args, &flags) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        (void)ngx_http_internal_redirect(r, &uri, &args);
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

/* nginx's WebDAV moves the file of a body to its place, and says so when it reads the body: too late then, since
 * it is here. It serves where no handler of the location does. */
static void ngx_http_smesec_before_reading(ngx_http_request_t *r) {
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    if (r->method == NGX_HTTP_PUT && clcf->handler == NULL) {
        r->request_body_in_file_only = 1;
        r->request_body_in_persistent_file = 1;
        r->request_body_in_clean_file = 1;
        r->request_body_file_group_access = 1;
        r->request_body_file_log_level = 0;
    }
}

ngx_int_t ngx_http_smesec_handler(ngx_http_request_t *r) {
    ngx_http_smesec_loc_conf_t *conf;
    ngx_http_smesec_ctx_t *ctx;
    ngx_pool_cleanup_t *cleanup;
    bool wanted = false;
    uint64_t hold = 0;
    ngx_int_t rc;

    /* Subrequests come from nginx itself. */
    if (r != r->main) {
        return NGX_DECLINED;
    }
    ctx = ngx_http_smesec_find(r);
    if (ctx != NULL) {
        if (ctx->state == NGX_HTTP_SMESEC_INSPECTING) {
            return NGX_DONE;
        }
        if (ctx->state == NGX_HTTP_SMESEC_READING) {
            /* nginx gave the body up and comes with an error page, which may lead to an upstream. */
            ctx->body = r->request_body == NULL ? NULL : r->request_body->bufs;
            ngx_http_smesec_inspect(&ctx, r->connection->log);
            ctx->state = NGX_HTTP_SMESEC_DECIDED;
        }
        return ngx_http_smesec_act(r, ctx);
    }
    conf = ngx_http_get_module_loc_conf(r, ngx_http_smesec_module);
    /* Without a method it is the page for a request that nginx could not read. */
    if (conf->overlay == NULL || r->method_name.len == 0) {
        return NGX_DECLINED;
    }

    cleanup = ngx_pool_cleanup_add(r->pool, sizeof *ctx);
    if (cleanup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ctx = cleanup->data;
    ngx_memzero(ctx, sizeof *ctx);
    cleanup->handler = ngx_http_smesec_cleanup;
    ctx->conf = conf;
    ctx->request = r;
    ctx->verdict.size = sizeof ctx->verdict;
    ngx_http_set_ctx(r, ctx, ngx_http_smesec_module);

    if (ngx_http_smesec_failed(ctx, ngx_http_smesec_begin(r, ctx)) != NGX_OK ||
        ngx_http_smesec_failed(ctx, ngx_http_smesec_head(r, ctx)) != NGX_OK || ngx_http_smesec_stops(&ctx->verdict)) {
        ctx->state = NGX_HTTP_SMESEC_DECIDED;
        return ngx_http_smesec_act(r, ctx);
    }
    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        if (ngx_http_smesec_failed(
                ctx, smesec_transaction_wants(ctx->transaction, SMESEC_PHASE_REQUEST_BODY, &wanted, &hold)) == NGX_OK &&
            wanted) {
            ngx_http_smesec_before_reading(r);
            rc = ngx_http_read_client_request_body(r, ngx_http_smesec_body_read);
            if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
                return rc;
            }
            ngx_http_finalize_request(r, NGX_DONE);
            return NGX_DONE;
        }
    }
    if (ctx->failed == SMESEC_STATUS_OK) {
        (void)ngx_http_smesec_piece(ctx, NULL, 0, true);
    }
    ctx->state = NGX_HTTP_SMESEC_DECIDED;
    return ngx_http_smesec_act(r, ctx);
}
