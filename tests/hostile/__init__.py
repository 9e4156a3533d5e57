"""Archives and paths of those who mean harm, and honest ones that look alike.

The threat model's rows that concern archives, documents, names, compression, graphs and server paths; what holds each
of them back, and the tests or groups of the catalogue that prove it (test_threats.py holds that they exist):

T1   path traversal, links and devices in archives
     nothing is extracted: members are extents, names are keys, links are followed among keys
     members, tests/hostile/test_service.py::test_a_name_from_an_archive_is_never_a_path,
     tests/archive/test_tar_limits.py::test_links_that_repeat_and_fork_are_followed_once_each
T2   a parser that hangs, recurses or allocates ahead
     a reader of our own: counted headers, names and extensions, plain digits, an offset that only grows
     tar_headers, extensions,
     tests/archive/test_tar_limits.py::test_a_hostile_archive_is_decided_quickly_and_in_little_memory,
     tests/hostile/test_verdicts.py::test_a_hostile_archive_comes_to_its_verdict
T3   one archive, two meanings
     what two readers could read differently is refused
     members, extensions, tests/hostile/test_differential.py::test_gnu_tar_lists_what_tarmac_lists,
     tests/hostile/test_differential.py::test_skopeo_sees_the_digests_that_tarmac_sees
T4   decompression bombs, and decoders that want memory
     bounded output of each call, a ratio, a total, limits of windows, dictionaries and members; blobs stay wrapped
     wrappings, tests/archive/test_compression.py::test_members_beyond_all_reason_are_refused
T5   a digest that is a path, or not the content's
     Digest exists only by its grammar; every byte is hashed while it passes
     descriptors, tests/oci/test_digest.py::test_a_digest_that_is_none_cannot_be_made_without_parsing_either
T6   sizes that lie, sources that shrink or grow
     descriptor, member and bytes have to agree; a source that changed is told
     descriptors, tests/spool/test_disk.py::test_a_file_changed_while_it_is_read_is_told
T7   a manifest that is another to another reader
     media types have to agree, keys are exact, an index is no image
     descriptors, documents
T8   graphs that blow up
     each manifest is read once; depth, manifests, references, and what images share are counted
     graphs, docker_manifests, bundles,
     tests/archive/formats/test_weight.py::test_what_images_share_is_counted_for_each_of_them
T9   JSON that readers choke on or disagree about
     strict_json: UTF-8, no duplicates, bounded numbers, depth and values; documents of an archive are charged together
     documents, tests/oci/test_strict_json.py::test_more_values_than_any_document_has_are_refused_before_they_are_made
T10  names that lead elsewhere
     the grammar of references, on every part; an embedded host is dropped
     names, tests/push/plan/test_naming.py
T14  server paths outside the roots, pipes, devices, races, oracles, patterns that never end
     openat2 beneath the root, regular files only, one wording, directories are read once for a pattern
     tests/hostile/test_server_paths.py::test_a_hostile_path_is_refused,
     tests/hostile/test_server_paths.py::test_loops_of_links_are_not_walked,
     tests/hostile/test_server_paths.py::test_what_is_missing_and_what_is_outside_get_the_same_words,
     tests/jobs/sources/test_paths.py::test_nothing_outside_is_opened
"""
