"""Go back to a step and try something else, while the first attempt stays as it was.

python examples/fork_to_try_something_else.py
"""

import stepwell


def main() -> None:
    with stepwell.Client("memory:") as client:
        session = client.create_session(key="plan")
        invocation = client.create_invocation(session.session_id)
        question = client.put_invocation_step(session.session_id, invocation.invocation_id, "Where is the time lost?")
        client.put_invocation_step(session.session_id, invocation.invocation_id, "In the database, I suppose.")

        other = client.fork(session.session_id, at=question.position, key="plan, second attempt")
        client.put_invocation_step(other.session_id, invocation.invocation_id, "Let me measure first.")
        client.delete_session(session.session_id, end=True)  # the copy needs nothing of it

        for step in client.steps(key="plan, second attempt"):
            print(step.text)


if __name__ == "__main__":
    main()
