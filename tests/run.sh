#!/usr/bin/env bash
# Builds everything and runs the tests.
#
#   tests/run.sh                    all tests
#   tests/run.sh -L unit            those with a label: unit, e2e, fault
#   tests/run.sh -R floors          those whose name matches
#
# Arguments go to ctest. TRAINYARD_SKIP_DEPS=1 leaves installing packages out.
# The last line is "N passed, N failed, N skipped"; exits non-zero on a failure
# or if no test ran.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/../deploy/common.sh"

case "${1:-}" in
  -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

if [ "${TRAINYARD_SKIP_DEPS:-0}" != 1 ]; then
  say "Dependencies"
  "$REPO/deploy/install_deps.sh"
fi

say "Build"
configure_release -DTRAINYARD_TESTS=ON -DTRAINYARD_BENCH=ON
build_release

say "Tests"
report="$REPO/build/release/tests.xml"
rm -f "$report"
status=0
ctest --test-dir "$REPO/build/release" --output-on-failure --no-tests=error \
  -j "$(parallel_jobs)" --output-junit "$report" "$@" || status=$?
[ -f "$report" ] || die "ctest wrote no report (exit status $status)"

# One line per test that failed or was skipped, then the count. A skipped test
# says on its own output why: "skipped: REASON", or GTEST_SKIP's message.
say "Summary"
awk '
  function attribute(name,   text) {
    text = $0
    if (!sub(".* " name "=\"", "", text)) return ""
    sub("\".*", "", text)
    return text
  }
  function plain(text) {
    gsub("&lt;", "<", text); gsub("&gt;", ">", text); gsub("&quot;", "\"", text)
    gsub("&apos;", "\047", text); gsub("&amp;", "\\&", text)
    sub(/^[ \t]*(<system-out>)?[ \t]*/, "", text); sub("</system-out>.*", "", text)
    return text
  }
  function close_test() {
    if (test == "") return
    if (state == "failed") { failed++; print "FAILED   " test }
    else if (state == "skipped") {
      skipped++; print "SKIPPED  " test ": " (reason != "" ? reason : "no reason given")
    } else if (state == "passed") passed++
    test = ""
  }
  /<testcase / {
    close_test()
    test = plain(attribute("name")); reason = ""; after_skip = 0
    status = attribute("status")
    state = status == "run" ? "passed" : status == "disabled" ? "disabled" : "failed"
  }
  /<skipped message="SKIP_/ { state = "skipped" }
  /<failure / { state = "failed" }
  state == "skipped" && reason == "" {
    line = plain($0)
    if (after_skip && line != "") reason = line
    if (match(line, /[Ss]kipped: .*/)) reason = substr(line, RSTART + 9)
    after_skip = line ~ /: Skipped$/
  }
  END { close_test(); printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$report"
exit "$status"
