"""`stepwell demo`: an incident handed over between three engineers, each a process, one of them killed.

command    the command: where, run, show
place      where the session and the picture go
run        the parent: starts the engineers, kills the second, checks what the third read
child      an engineer as the parent sees it: a process and what it reports
reports    what engineers report, line by line
engineers  the three roles: `python -m stepwell.cli.demo.engineers`
measure    psutil -> figures
figures    what is measured, in types and in words
conclude   figures -> findings
canvas     Pillow -> shapes and text
plot       figures -> a PNG
outcome    what happened, its timeline and its checks
show       outcome -> terminal or JSON
"""
