"""One agent takes over from another, which finds out at its next write.

python examples/hand_over_with_a_lease.py
"""

import stepwell


def main() -> None:
    with stepwell.Client("memory:") as day:
        night = day.handle()  # elsewhere: a client of its own, in another process
        session = day.create_session(key="INC-7")
        invocation = day.create_invocation(session.session_id, description="latency alert")
        ids = session.session_id, invocation.invocation_id

        day.lease(session.session_id)
        day.put_invocation_step(*ids, "p99 is 4 s; the disks are fine")

        lease = night.lease(session.session_id)
        for step in night.steps(key="INC-7"):
            print(f"The night shift, with lease {lease.epoch}, reads: {step.text}")
        night.put_invocation_step(*ids, "a replica was missing; restarted it")

        try:
            day.put_invocation_step(*ids, "restarting all replicas")
        except stepwell.Fenced as error:
            print(f"The day shift is told: {error}")
        night.end_session(session.session_id)
        print(f"{len(list(day.steps(key='INC-7')))} steps, and nobody restarted everything.")


if __name__ == "__main__":
    main()
