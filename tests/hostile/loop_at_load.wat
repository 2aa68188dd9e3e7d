;; Loops forever on every input, so that the check at load fails.
;; shell: retry
;; expect: rejected "the policy fails on a sample failure: deadline: ran longer than 1s"
(core module $guest
  (func (export "classify") (param $failure i32) (result i32)
    (loop $again (br $again))
    (unreachable)))
