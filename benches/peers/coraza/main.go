// Drives Coraza over HTTP transactions given as JSON lines and prints one JSON line for each.
//
//	coraza_bench -conf FILE -mode load
//	coraza_bench -conf FILE -requests FILE.jsonl [-repeat N] [-seconds S]
//	coraza_bench -conf FILE -requests FILE.jsonl -mode classify
//
// bench: phases 1 and 2 of every transaction; "micros" is the median over batches of the process's CPU
// time (user and system, so the garbage collector's share is in it) divided by the batch's size.
// classify: all five phases once, with the response that the line describes; "ids" are the rules logged.
// One processor (GOMAXPROCS=1) in both.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

// request is one line of the corpus. Bodies arrive in base64, which encoding/json turns into bytes.
type request struct {
	Name        string      `json:"name"`
	Method      string      `json:"method"`
	URI         string      `json:"uri"`
	Version     string      `json:"version"`
	Headers     [][2]string `json:"headers"`
	Body        []byte      `json:"body_b64"`
	RespStatus  string      `json:"resp_status"`
	RespHeaders [][2]string `json:"resp_headers"`
	RespBody    []byte      `json:"resp_body_b64"`
}

type answer struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Status  int     `json:"status"`
	IDs     []int   `json:"ids"`
	Micros  float64 `json:"micros"`
}

var logged []int

func main() {
	conf := flag.String("conf", "", "configuration file")
	requests := flag.String("requests", "", "transactions, one JSON object a line")
	mode := flag.String("mode", "bench", "bench, classify or load")
	repeat := flag.Int("repeat", 0, "passes of each transaction (0: as many as -seconds allows)")
	seconds := flag.Float64("seconds", 0.5, "CPU seconds for each transaction when -repeat is 0")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	before, residentBefore := cpu(), resident()
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().
		WithErrorCallback(func(match types.MatchedRule) { logged = append(logged, match.Rule().ID()) }).
		WithDirectivesFromFile(*conf))
	check(err)
	load := cpu() - before
	runtime.GC()
	fmt.Fprintf(os.Stderr, "# coraza: load %.1f ms CPU, rss +%d KiB after a collection\n",
		load.Seconds()*1e3, (resident()-residentBefore)/1024)
	if *mode == "load" {
		printed, err := json.Marshal(map[string]any{
			"load_cpu_ms": load.Seconds() * 1e3, "memory_bytes": resident() - residentBefore})
		check(err)
		fmt.Println(string(printed))
		return
	}

	file, err := os.Open(*requests)
	check(err)
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := lines.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			var r request
			check(json.Unmarshal(line, &r))
			logged = []int{}
			var micros float64
			start := cpu()
			status := pass(waf, &r, *mode == "classify")
			ids := slices.Clone(logged)
			if *mode == "classify" {
				micros = float64((cpu() - start).Nanoseconds()) / 1e3
			} else {
				micros = measure(waf, &r, *repeat, *seconds)
			}
			verdict := "pass"
			if status != 0 {
				verdict = "block"
			}
			printed, err := json.Marshal(answer{r.Name, verdict, status, ids, micros})
			check(err)
			fmt.Fprintln(out, string(printed))
		}
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
	}
}

// measure gives the median microseconds of a pass over batches long enough for the clock and the collector.
func measure(waf coraza.WAF, r *request, repeat int, seconds float64) float64 {
	const batches = 9
	start := cpu()
	pass(waf, r, false)
	once := max((cpu() - start).Seconds(), 1e-6)
	size := repeat / batches
	if repeat == 0 {
		size = int(seconds / batches / once)
	}
	size = max(size, 1)
	times := make([]float64, batches)
	for i := range times {
		start := cpu()
		for range size {
			logged = logged[:0]
			pass(waf, r, false)
		}
		times[i] = float64((cpu() - start).Nanoseconds()) / 1e3 / float64(size)
	}
	slices.Sort(times)
	return times[batches/2]
}

// pass runs one transaction and returns the status it was stopped with, or 0.
func pass(waf coraza.WAF, r *request, response bool) int {
	tx := waf.NewTransaction()
	defer tx.Close()
	status := requestPhases(tx, r)
	if response {
		if status == 0 {
			status = responsePhases(tx, r)
		}
		tx.ProcessLogging()
	}
	return status
}

func requestPhases(tx types.Transaction, r *request) int {
	tx.ProcessConnection("198.51.100.7", 40000, "127.0.0.1", 80)
	tx.ProcessURI(r.URI, r.Method, "HTTP/"+r.Version)
	for _, header := range r.Headers {
		tx.AddRequestHeader(header[0], header[1])
		if strings.EqualFold(header[0], "Host") {
			name, _, _ := strings.Cut(header[1], ":")
			tx.SetServerName(name)
		}
	}
	if stop := tx.ProcessRequestHeaders(); stop != nil {
		return code(stop)
	}
	if len(r.Body) > 0 && tx.IsRequestBodyAccessible() {
		stop, _, err := tx.WriteRequestBody(r.Body)
		check(err)
		if stop != nil {
			return code(stop)
		}
	}
	stop, err := tx.ProcessRequestBody()
	check(err)
	return code(stop)
}

func responsePhases(tx types.Transaction, r *request) int {
	status, err := strconv.Atoi(r.RespStatus)
	if err != nil {
		status = 200
	}
	for _, header := range r.RespHeaders {
		tx.AddResponseHeader(header[0], header[1])
	}
	if stop := tx.ProcessResponseHeaders(status, "HTTP/1.1"); stop != nil {
		return code(stop)
	}
	if tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable() {
		stop, _, err := tx.WriteResponseBody(r.RespBody)
		check(err)
		if stop != nil {
			return code(stop)
		}
	}
	stop, err := tx.ProcessResponseBody()
	check(err)
	return code(stop)
}

func code(stop *types.Interruption) int {
	switch {
	case stop == nil:
		return 0
	case stop.Status == 0:
		return 403
	default:
		return stop.Status
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func resident() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	check(err)
	fields := strings.Fields(string(statm))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	check(err)
	return pages * int64(os.Getpagesize())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "coraza_bench:", err)
		os.Exit(1)
	}
}
