"""The commands of `tarmac`, one per file.

archive_loader  files and standard input -> archives of a job
check           `tarmac check`
display         line output
doctor          `tarmac doctor`
guide           `tarmac guide [TOPIC]`
images          `tarmac images`
inspect         `tarmac inspect`
live_display    progress bars on a terminal
openapi         `tarmac openapi`
options         arguments -> PushOptions, Settings
parser          the argparse tree
push            `tarmac push`
send            `tarmac send`
serve           `tarmac serve`
token           `tarmac token`
version         `tarmac version`
"""
