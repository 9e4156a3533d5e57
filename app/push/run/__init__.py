"""The execution of a plan.

blob_content     verified, compressed bytes of a blob
blob_transfer    exists, mount or send
chunks           the bytes of a blob in chunks
compress         parallel gzip and zstd
dry_run          dry_run(): ask the registry, push nothing
execute          execute(): the run, image by image
existing_tag     the current content of a tag
image_states     the state of every image
manifest_push    push manifests, tags and referrers
presence         the current content of the destination
referrers_check  are the referrers present?
referrers_tag    the referrers tag schema
slots            slots and the signal to commit
tag_locks        one writer per tag
tag_merge        merge an image into an existing tag
task_pool        TaskPool, PushResources
unsent_content   verification of content that is not sent
"""
