;; Loops forever in its start function, before any call, so the deadline must apply to the start too.
;; shell: retry
;; expect: rejected "the policy fails on a sample failure: deadline: ran longer than 1s"
(core module $guest
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
