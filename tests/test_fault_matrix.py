"""What may go wrong around a push, and the tests that hold what must come of it. What no test of `make test` holds yet
stands in LACKING, with what holds it elsewhere, if anything does."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# number: (what happens, the tests that hold its promise)
FAULTS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "client disconnects in its upload",
        (
            "tests/e2e/test_curl.py::test_a_client_that_dies_in_the_middle_leaves_a_failed_job_and_no_file",
            "tests/api/routes/test_push.py::test_a_body_that_ends_early_fails_its_job_and_leaves_nothing",
            "tests/api/routes/test_push.py::test_a_form_that_ends_early_fails_its_job_and_leaves_nothing",
        ),
    ),
    2: (
        "client disconnects before the answer",
        (
            "tests/api/routes/test_push.py::test_the_same_key_gives_the_same_job",
            "tests/e2e/test_curl.py::test_clients_that_leave_before_the_answer_have_their_jobs_and_find_them_by_their_keys",
        ),
    ),
    3: ("client stalls", ("tests/api/middleware/test_limits.py::test_a_body_that_stalls_is_an_incomplete_upload",)),
    4: (
        "kill while receiving",
        ("tests/jobs/test_recovery.py::test_an_upload_that_was_cut_off_has_failed_and_left_nothing",),
    ),
    5: (
        "kill at each stage",
        ("tests/crash/test_stages.py::test_a_job_goes_on_after_a_kill",),
    ),
    6: (
        "power loss",
        ("tests/crash/test_exhausted.py::test_what_is_answered_is_on_the_disk",),
    ),
    7: (
        "spool full",
        (
            "tests/api/routes/test_push.py::test_a_body_there_is_no_room_for_is_refused_before_it_is_read",
            "tests/spool/test_disk.py::test_what_one_upload_was_promised_is_not_given_to_another",
            "tests/spool/test_disk.py::test_a_disk_that_fails_leaves_nothing",
            "tests/crash/test_exhausted.py::test_a_call_that_fails_is_told_and_leaves_nothing",
        ),
    ),
    8: (
        "database full",
        (
            "tests/jobs/test_recovery.py::test_the_end_of_a_job_is_not_lost_for_a_full_disk",
            "tests/jobs/test_recovery.py::test_progress_that_cannot_be_stored_is_still_told",
            "tests/api/test_full_database.py::test_what_was_accepted_ends_and_what_is_not_stored_is_not_accepted",
        ),
    ),
    9: (
        "registry 5xx, for a moment or an hour",
        (
            "tests/registry/wrappers/test_retry.py::test_waits_double_up_to_a_limit_and_the_last_error_is_raised",
            "tests/jobs/test_outages.py::test_an_outage_sends_the_job_back_to_the_queue_with_a_time_to_go_on",
            "tests/jobs/test_outages.py::test_an_outage_that_lasts_too_long_is_given_up",
        ),
    ),
    10: (
        "429",
        (
            "tests/registry/distribution/test_rate_limit.py::test_a_retry_after_holds_everybody_but_who_cleans_up",
            "tests/registry/wrappers/test_retry.py::test_retry_after_is_honoured_up_to_five_minutes",
        ),
    ),
    11: (
        "registry hangs",
        (
            "tests/registry/distribution/test_registry.py::test_a_registry_that_does_not_answer_is_given_up",
            "tests/registry/distribution/test_registry.py::test_a_far_end_that_takes_no_bytes_is_given_up",
        ),
    ),
    12: (
        "reset in a blob",
        ("tests/registry/uploads/test_blob_upload.py::test_a_blob_goes_on_where_the_connection_broke",),
    ),
    13: (
        "wrong digest",
        (
            "tests/registry/distribution/test_registry.py::test_a_digest_that_differs_from_the_one_sent_is_an_error",
            "tests/registry/uploads/test_blob_upload.py::test_a_blob_that_was_damaged_on_the_way_is_sent_once_more_and_not_for_ever",
        ),
    ),
    14: ("slow registry", ("tests/registry/uploads/test_bad_lines.py::test_a_slow_line_is_no_silence",)),
    15: (
        "close on keep-alive",
        ("tests/registry/faults/test_faults.py::test_after_any_fault_the_image_is_right_or_the_error_is",),
    ),
    16: (
        "token expires in a push",
        ("tests/registry/faults/test_faults.py::test_after_any_fault_the_image_is_right_or_the_error_is",),
    ),
    17: (
        "redirect of a PUT",
        (
            "tests/registry/distribution/test_registry.py::test_a_redirect_is_followed_with_the_body_from_its_start",
            "tests/registry/distribution/test_registry.py::test_redirects_end_after_five",
        ),
    ),
    18: (
        "DNS",
        (
            "tests/net/test_egress.py::test_a_name_is_resolved_once_and_that_answer_is_connected_to",
            "tests/registry/distribution/test_probe.py::"
            "test_every_kind_of_registry_is_told_with_its_reason_by_the_service_and_by_the_command",
        ),
    ),
    19: ("duplicate submission", ("tests/jobs/test_idempotency.py::test_fifty_equal_posts_at_once_are_one_job",)),
    20: (
        "server file replaced, changed, cut",
        (
            "tests/jobs/sources/test_paths.py::test_a_file_replaced_while_its_job_waits_is_not_pushed",
            "tests/spool/test_disk.py::test_a_file_changed_while_it_is_read_is_told",
            "tests/spool/test_disk.py::test_short_reads_are_put_together_and_never_padded",
        ),
    ),
    21: ("EIO on read", ("tests/spool/test_disk.py::test_a_read_error_is_told",)),
    22: (
        "cancel at every stage",
        (
            "tests/jobs/test_service.py::test_a_job_is_cancelled_while_its_archive_is_received",
            "tests/jobs/test_service.py::test_a_job_is_cancelled_between_two_archives",
            "tests/jobs/test_service.py::test_a_job_is_cancelled_while_it_waits_its_turn",
            "tests/jobs/test_service.py::test_a_job_is_cancelled_while_it_runs_and_no_tag_appears",
            "tests/jobs/test_service.py::test_cancel_and_end_at_once_give_one_final_state",
            "tests/jobs/test_leases.py::test_a_job_that_waits_for_a_tag_can_be_cancelled",
            "tests/jobs/test_outages.py::test_a_job_that_waits_for_its_registry_can_be_tried_at_once_or_cancelled",
            "tests/registry/distribution/test_registry.py::test_a_cancelled_push_cancels_its_session",
            "tests/registry/distribution/test_registry.py::test_a_session_that_was_asked_for_is_cancelled_when_it_is_known",
            "tests/registry/distribution/test_registry.py::test_a_manifest_that_is_on_its_way_is_there_when_its_push_is_cancelled",
        ),
    ),
    23: (
        "restart with many queued jobs",
        (
            "tests/jobs/test_recovery.py::test_many_jobs_are_taken_up_batch_by_batch",
            "tests/jobs/test_recovery.py::test_queued_jobs_keep_their_order",
        ),
    ),
    24: (
        "SIGTERM",
        (
            "tests/crash/test_stop.py::test_a_stop_lets_an_upload_end_and_takes_no_new_one",
            "tests/crash/test_stop.py::test_a_second_signal_does_not_wait",
        ),
    ),
    25: ("database locked", ("tests/jobs/store/test_sql.py::test_a_locked_database_asks_to_come_again",)),
    26: (
        "database newer or garbage",
        (
            "tests/jobs/store/test_sql.py::test_a_newer_database_is_refused_and_left_alone",
            "tests/jobs/store/test_sql.py::test_garbage_is_refused_and_left_alone",
        ),
    ),
    27: (
        "upgrade breaks",
        ("tests/jobs/store/test_sql.py::test_an_upgrade_that_breaks_leaves_the_database_as_it_was",),
    ),
    28: (
        "two jobs for one tag",
        (
            "tests/jobs/test_leases.py::test_many_pairs_at_once_end_with_the_later_one",
            "tests/jobs/test_leases.py::test_an_older_job_that_comes_later_leaves_the_newer_ones_tag",
            "tests/contract/test_tag_leases_contract.py::test_a_tag_is_one_jobs_at_a_time",
            "tests/crash/test_replicas.py::test_of_two_jobs_for_one_tag_at_two_replicas_the_later_has_the_last_word",
        ),
    ),
    29: (
        "thousands of jobs",
        (
            "tests/contract/test_job_store_contract.py::test_a_page_is_newest_first_and_goes_on_where_it_ended",
            "tests/jobs/retention/test_retention.py::test_the_oldest_archives_go_first",
        ),
    ),
    30: (
        "slow readers of events",
        (
            "tests/jobs/test_service.py::test_a_watcher_sees_growing_revisions_and_percents_and_the_end",
            "tests/server/test_protocol.py::test_a_reader_that_does_not_read_is_let_go",
        ),
    ),
    31: ("no descriptors left", ("tests/crash/test_exhausted.py::test_no_descriptors_left_is_told_and_passes",)),
    32: ("memory pressure", ("tests/crash/test_exhausted.py::test_a_large_archive_takes_little_memory",)),
    33: ("clock jumps", ("tests/jobs/test_leases.py::test_a_clock_that_is_set_back_does_not_change_the_order",)),
    34: ("a job kills the process", ("tests/jobs/test_outages.py::test_a_job_that_kills_the_process_is_set_aside",)),
    35: (
        "stalls of the loop",
        (
            "tests/spool/test_disk.py::test_hashing_and_writing_leave_the_event_loop_alone",
            "tests/api/routes/test_jobs.py::test_no_status_request_waits_for_a_thread",
        ),
    ),
    36: (
        "a webhook's receiver is down",
        (
            "tests/jobs/webhook/test_webhook.py::test_what_is_not_taken_is_told_again_and_no_redirect_is_followed",
            "tests/jobs/webhook/test_webhook.py::test_the_waits_grow_to_five_minutes_and_end_after_a_day",
            "tests/jobs/webhook/test_webhook.py::test_what_was_not_told_before_a_restart_is_told_after_it",
        ),
    ),
    37: ("one image of several fails", ("tests/jobs/test_service.py::test_one_failed_image_leaves_the_others",)),
    38: (
        "registry loses blobs",
        ("tests/push/run/test_resend.py::test_blobs_that_are_named_as_missing_are_sent_again_without_asking",),
    ),
    39: (
        "two nodes, one job",
        (
            "tests/contract/test_job_store_contract.py::test_a_run_that_was_thought_dead_writes_nothing_over_its_successor",
        ),
    ),
    40: (
        "kill while images of the store are deleted or pushed",
        (
            "tests/crash/test_store.py::test_a_kill_while_images_are_deleted_breaks_none_and_leaves_nothing",
            "tests/crash/test_store.py::test_a_kill_while_an_image_is_pushed_leaves_nothing_after_a_prune",
            "tests/registry/oci_layout/test_collection.py::test_a_use_of_a_process_that_died_counts_no_more",
        ),
    ),
    41: (
        "a prune beside a push or a pull, in this process or another",
        (
            "tests/registry/oci_layout/test_collection.py::test_blobs_of_a_push_under_way_stay",
            "tests/registry/oci_layout/test_collection.py::test_what_a_push_found_stays_until_it_ends",
            "tests/registry/oci_layout/test_collection.py::test_what_a_client_has_not_pulled_yet_stays",
        ),
    ),
}
LACKING: dict[int, str] = {}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_fault_has_its_row() -> None:
    assert sorted([*FAULTS, *LACKING]) == list(range(1, 42))


@pytest.mark.parametrize("number", FAULTS)
def test_the_names_in_a_fault_are_there(number: int) -> None:
    _, tests = FAULTS[number]
    assert tests
    missing = [test for test in tests if test.partition("::")[2] not in names_in(test.partition("::")[0])]
    assert not missing
